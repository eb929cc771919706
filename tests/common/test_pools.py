"""Threads for work that blocks."""

import threading

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from common.pools import Pools, shared


class PoolTests(TestCase):
    """A daemon with two kinds of work."""

    def setUp(self) -> None:
        self.pools = Pools(reactor, "rackd", {"disk": 1, "hash": 1})

    async def test_each_kind_has_threads_of_its_own(self) -> None:
        """Work that hangs holds up its own kind alone; threads bear the names of both."""
        self.pools.start()
        self.addCleanup(self.pools.stop)
        gate = threading.Event()
        hanging = self.pools["disk"](gate.wait)
        name = await self.pools["hash"](lambda: threading.current_thread().name)
        self.assertIn("rackd-hash", name)
        self.assertFalse(hanging.called)
        gate.set()
        self.assertTrue(await hanging)

    async def test_what_is_asked_for_before_the_start_waits_for_it(self) -> None:
        """A part may ask as soon as it is made."""
        asked = self.pools["disk"](lambda: 1)
        self.assertFalse(asked.called)
        self.pools.start()
        self.addCleanup(self.pools.stop)
        self.assertEqual(await asked, 1)

    async def test_what_goes_wrong_reaches_who_asked(self) -> None:
        """As it was raised."""
        self.pools.start()
        self.addCleanup(self.pools.stop)
        await self.assertFailure(self.pools["disk"](lambda: 1 // 0), ZeroDivisionError)

    async def test_the_reactors_own(self) -> None:
        """Not one of ours, and not the reactor's thread."""
        name = await shared(reactor)(lambda: threading.current_thread().name)
        self.assertNotIn("rackd", name)
        self.assertNotEqual(name, threading.main_thread().name)
