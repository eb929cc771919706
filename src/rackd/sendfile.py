"""Sends a file from the page cache into a socket, past Python: ``sendfile(2)``.

For plain HTTP to many machines at once. With ten readers of one file this was measured to
take half the time of reading chunks and writing them, since no byte is copied into the
process. The system call runs on a disk thread: a file that is not in the page cache makes
it wait for the disk.

Whoever calls has seen to it that everything written to the transport before is with the
kernel already, and writes nothing to it until this is over.
"""

import os
import threading
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IWriteDescriptor
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from twisted.web.http import Request
from zope.interface import implementer

from common.errors import StorageError, TimedOut, TransferError
from common.pools import Threads
from common.ranges import Slice
from common.serving import SEND_TIMEOUT_S

MOST_BYTES = 4 << 20
"""Of one call: more than a socket takes at once, less than a slow disk takes long for."""


class SocketOutlet:
    """A second descriptor of a connected socket, to send files into.

    Args:
        fd: of the socket; it stays the caller's.
        reactor: waits for the socket to take more.
        on_disk: runs what may wait for the disk.
    """

    def __init__(self, fd: int, reactor: Any, on_disk: Threads) -> None:
        self._fd = os.dup(fd)
        self._reactor = reactor
        self._on_disk = on_disk
        self._turn = threading.Lock()

    @classmethod
    def of(cls, request: Request, reactor: Any, on_disk: Threads) -> "SocketOutlet | None":
        """The outlet beneath a request; None if that is no plain TCP connection."""
        transport = request.channel.transport if request.channel is not None else None
        if not isinstance(transport, Connection) or request.isSecure():
            return None
        return cls(transport.fileno(), reactor, on_disk)

    async def send(self, file_fd: int, wanted: Slice) -> None:
        """Send a slice of an open file; returns when the kernel has all of it.

        Raises:
            StorageError: the file is shorter than that, or cannot be read.
            TransferError: the reader is gone.
            TimedOut: the reader takes too long.
        """
        offset = wanted.first
        while offset < wanted.stop:
            count = min(MOST_BYTES, wanted.stop - offset)
            sent = await self._on_disk(lambda: self._sendfile(file_fd, offset, count))  # noqa: B023
            if sent is None:
                await self._writable()
            elif sent == 0:
                raise StorageError("became shorter while it was read")
            else:
                offset += sent

    async def close(self) -> None:
        """After a call that may still be under way: its descriptor must not be reused."""
        await self._on_disk(self._close)

    def _sendfile(self, file_fd: int, offset: int, count: int) -> int | None:
        """How many bytes the socket took; None if it takes none now."""
        with self._turn:
            if self._fd < 0:
                return 0
            try:
                return os.sendfile(self._fd, file_fd, offset, count)
            except BlockingIOError:
                return None
            except (BrokenPipeError, ConnectionError) as error:
                raise TransferError("the reader is gone") from error
            except OSError as error:
                raise StorageError(f"cannot be sent: {error.strerror}") from error

    def _close(self) -> None:
        with self._turn:
            os.close(self._fd)
            self._fd = -1

    async def _writable(self) -> None:
        waiting = _Writable(self._reactor, self._fd)
        waiting.done.addTimeout(SEND_TIMEOUT_S, self._reactor)
        try:
            await waiting.done
        except DeferredTimeout:
            raise TimedOut("the reader took too long for one chunk") from None


@implementer(IWriteDescriptor)
class _Writable:
    """Waits once until a socket takes more."""

    def __init__(self, reactor: Any, fd: int) -> None:
        self._reactor = reactor
        self._fd = fd
        self.done: Deferred[None] = Deferred(lambda _: reactor.removeWriter(self))
        reactor.addWriter(self)

    def fileno(self) -> int:
        return self._fd

    def logPrefix(self) -> str:
        return "sendfile"

    def doWrite(self) -> None:
        """The socket takes more (or is closed, which the next send will say)."""
        self._reactor.removeWriter(self)
        self.done.callback(None)

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002 - the next send says it
        """The reactor found the descriptor broken."""
        self.doWrite()
