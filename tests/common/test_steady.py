"""A reactor whose timers nobody can set (real daemons: ``integration/test_set_clock``)."""

import time

from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import SynchronousTestCase

from common.steady import keep_steady


class SteadyTests(SynchronousTestCase):
    """A reactor of its own, which never runs."""

    def setUp(self) -> None:
        self.reactor = SelectReactor()
        self.addCleanup(self.reactor.disconnectAll)
        self.now_s = 1000.0
        self.patch(time, "monotonic", lambda: self.now_s)
        keep_steady(self.reactor)

    def test_a_call_later(self) -> None:
        """It is due when so many seconds have passed, and the reactor sleeps for as long."""
        ran: list[float] = []
        self.reactor.callLater(5, lambda: ran.append(self.now_s))
        self.assertEqual(self.reactor.timeout(), 5)
        for self.now_s in (1004.9, 1005.0):
            self.reactor.runUntilCurrent()
        self.assertEqual(ran, [1005.0])

    def test_a_looping_call(self) -> None:
        """It keeps its interval."""
        ran: list[float] = []
        looping = LoopingCall(lambda: ran.append(self.now_s))
        looping.clock = self.reactor
        looping.start(300.0)
        for self.now_s in (1299.0, 1300.0, 1599.0, 1600.0):
            self.reactor.runUntilCurrent()
        looping.stop()
        self.assertEqual(ran, [1000.0, 1300.0, 1600.0])
