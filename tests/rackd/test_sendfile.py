"""Files that go straight from the page cache into a socket."""

import os
import socket
import tempfile
from pathlib import Path

import treq
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import Agent, HTTPConnectionPool, ResponseFailed

from common.digests import CHUNK_BYTES
from common.errors import StorageError, TimedOut, TransferError
from common.ranges import Slice
from common.serving import SEND_TIMEOUT_S
from rackd.library import Library
from rackd.machines import Machines, MachinesSite
from rackd.records import HeldFile, Record
from rackd.sendfile import SocketOutlet
from tests.doubles.disks import at_once
from tests.doubles.images import content, digests_of, file_of

NOW_S = 1_795_295_000.0
BLOB = content(5 * CHUNK_BYTES + 77)
PATH = "ubuntu/amd64/ga-22.04/jammy/stable/squashfs"
FAR_TOO_MUCH = 1 << 30


def open_descriptors() -> int:
    """How many this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


class Idle(Clock):
    """A reactor whose sockets never take more."""

    def addWriter(self, writer: object) -> None:
        """Never calls it."""

    removeWriter = addWriter


class OutletTests(SynchronousTestCase):
    """One slice of one file, into one end of a pair of sockets."""

    def setUp(self) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.addCleanup(self.near.close)
        self.addCleanup(self.far.close)
        self.clock = Idle()
        self.outlet = SocketOutlet(self.near.fileno(), self.clock, at_once)
        self.file = self.enterContext(tempfile.TemporaryFile())

    def holding(self, blob: bytes) -> int:
        self.file.write(blob)
        self.file.flush()
        return self.file.fileno()

    async def send(self, file_fd: int, wanted: Slice) -> None:
        try:
            await self.outlet.send(file_fd, wanted)
        finally:
            await self.outlet.close()

    def test_a_slice(self) -> None:
        """Exactly the bytes that were asked for, in order; the caller's socket stays open."""
        fd = self.holding(BLOB[:3000])
        self.successResultOf(Deferred.fromCoroutine(self.send(fd, Slice(100, 2100, 3000))))
        self.near.shutdown(socket.SHUT_WR)
        self.assertEqual(self.far.makefile("rb").read(), BLOB[100:2100])

    def test_a_reader_that_is_gone(self) -> None:
        """Said as what it is, not as a fault of the disk."""
        fd = self.holding(BLOB[:3000])
        self.far.close()
        sending = Deferred.fromCoroutine(self.send(fd, Slice(0, 3000, 3000)))
        self.failureResultOf(sending, TransferError)

    def test_a_file_that_became_shorter(self) -> None:
        """An error: the reader must not take it for the proper end."""
        fd = self.holding(BLOB[:3000])
        sending = Deferred.fromCoroutine(self.send(fd, Slice(0, 4000, 4000)))
        self.failureResultOf(sending, StorageError)

    def test_a_reader_that_does_not_read(self) -> None:
        """Given up after the time for one chunk, and the descriptor is closed."""
        os.truncate(self.file.fileno(), FAR_TOO_MUCH)
        fds = open_descriptors()
        sending = Deferred.fromCoroutine(
            self.send(self.file.fileno(), Slice(0, FAR_TOO_MUCH, FAR_TOO_MUCH))
        )
        self.assertNoResult(sending)
        self.clock.advance(SEND_TIMEOUT_S)
        self.failureResultOf(sending, TimedOut)
        self.assertEqual(open_descriptors(), fds - 1)

    def test_an_answer_that_is_cancelled(self) -> None:
        """Nothing waits any more, and the descriptor is closed."""
        os.truncate(self.file.fileno(), FAR_TOO_MUCH)
        sending = Deferred.fromCoroutine(
            self.send(self.file.fileno(), Slice(0, FAR_TOO_MUCH, FAR_TOO_MUCH))
        )
        sending.addErrback(lambda _: None)
        sending.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class HttpTests(TestCase):
    """A rack's images port over real sockets."""

    async def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.library = Library(Path(directory.name) / "i", on_disk=at_once, on_sync=at_once)
        self.library.open()
        self.addCleanup(self.library.close)
        self.file = file_of("squashfs", BLOB)
        sink = self.library.sink(self.file, digests_of(BLOB))
        await sink.resume()
        for start in range(0, len(BLOB), CHUNK_BYTES):
            await sink.write([BLOB[start : start + CHUNK_BYTES]], [])
        await sink.finish(b"")
        await sink.close()
        held = {PATH: HeldFile(self.file.sha256, len(BLOB))}
        self.library.publish(Record(1, "ab" * 32, (), held), NOW_S)
        site = MachinesSite(Machines(self.library, reactor, deferToThread), reactor)
        port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"http://127.0.0.1:{port.getHost().port}/images/{PATH}"
        pool = HTTPConnectionPool(reactor)
        self.addCleanup(pool.closeCachedConnections)
        self.agent = Agent(reactor, pool=pool)

    async def get(self, **headers: str) -> bytes:
        response = await treq.get(self.url, agent=self.agent, headers=headers)
        return await treq.content(response)

    async def test_whole_and_again(self) -> None:
        """Every byte, and the connection can be used for the next request."""
        self.assertEqual(await self.get(), BLOB)
        self.assertEqual(await self.get(), BLOB)

    async def test_ranges(self) -> None:
        """Wherever it begins, near the end of a chunk or in its middle."""
        for first in (0, CHUNK_BYTES - 5, CHUNK_BYTES, 2 * CHUNK_BYTES + 99, len(BLOB) - 1):
            self.assertEqual(await self.get(range=f"bytes={first}-"), BLOB[first:])

    async def test_a_file_that_became_shorter(self) -> None:
        """The connection is aborted; what came is not the whole answer."""
        path = self.library.cache / self.file.sha256
        whole = Machines._open

        async def cut(machines: Machines, source: object, file: HeldFile) -> None:
            await whole(machines, source, file)
            path.chmod(0o644)
            os.truncate(path, 2 * CHUNK_BYTES)

        self.patch(Machines, "_open", cut)
        with self.assertRaises(ResponseFailed):
            await self.get()
