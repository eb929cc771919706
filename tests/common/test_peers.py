"""Who is at the other end of a Unix socket."""

import os
import pwd
import socket
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from common.peers import Peers


class PeerTests(SynchronousTestCase):
    def setUp(self) -> None:
        here, self.there = socket.socketpair(socket.AF_UNIX)
        self.addCleanup(here.close)
        self.addCleanup(self.there.close)
        self.transport = SimpleNamespace(socket=here)
        self.lookups = 0

    async def in_thread(self, work: object) -> str:
        self.lookups += 1
        return str(work())  # type: ignore[operator]  # a function

    def name(self, peers: Peers, transport: object) -> str:
        found = []

        async def ask() -> None:
            found.append(await peers.name_of(transport))

        with self.assertRaises(StopIteration):
            ask().send(None)
        return found[0]

    def test_the_kernel_says_who_it_is(self) -> None:
        """Name, number and process; the name is looked up once, in a thread."""
        peers = Peers(self.in_thread)
        user = pwd.getpwuid(os.getuid()).pw_name
        expected = f"{user} (uid {os.getuid()}, pid {os.getpid()})"
        self.assertEqual(self.name(peers, self.transport), expected)
        self.assertEqual(self.name(peers, self.transport), expected)
        self.assertEqual(self.lookups, 1)

    def test_a_user_without_a_name_is_a_number(self) -> None:
        """Nobody is refused for a directory that does not know them, or not yet."""

        def unknown(_: int) -> None:
            raise KeyError

        self.patch(pwd, "getpwuid", unknown)
        peers = Peers(self.in_thread)
        expected = f"uid {os.getuid()} (pid {os.getpid()})"
        self.assertEqual(self.name(peers, self.transport), expected)
        self.name(peers, self.transport)
        self.assertEqual(self.lookups, 2)

    def test_what_is_no_unix_socket_is_nobody(self) -> None:
        """Who cannot be known is not guessed."""
        self.assertEqual(self.name(Peers(), object()), "")
