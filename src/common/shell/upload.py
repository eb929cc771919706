"""Sends bytes to a region: the shell's end of an upload (the region's is ``regiond.uploads``).

The region says how much it holds, and what it lacks is sent, some pieces ahead of their
answers. When the region goes away it is waited for, and gone on with; so does a later run of
the same command.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import BinaryIO

import attrs

from common.errors import Busy, IntegrityError, NoDaemon, RackferryError, Stale, TransferError
from common.shell.line import Line, Tell, connected

# As in common.commands, which is slow to import.
PIECE_BYTES = 48 * 1024
WINDOW = 24

PATIENCE_S = 300.0
"""How long a region may be away."""
_PAUSE_S = 0.5
_TELL_EACH_BYTES = 4 << 20


@attrs.define
class Upload:
    """One blob on its way to a region.

    Attributes:
        socket_path: the region's admin socket.
        file: the bytes, read from wherever they are to go on.
        sha256: their name.
        size_bytes: how many there are.
        tell: called with how far it is.
        wait, now: time (seconds).
        sent_bytes: how much went over the socket, all attempts together.
    """

    socket_path: str
    file: BinaryIO
    sha256: str
    size_bytes: int
    tell: Tell = lambda _: None
    wait: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic
    sent_bytes: int = 0
    _told_bytes: int = -_TELL_EACH_BYTES
    _progress_at: float = 0.0

    def run(self) -> None:
        """Send what the region lacks; ends when it holds all of it, verified.

        Raises:
            NoDaemon: the region was away for too long.
            IntegrityError: code ``upload-digest``; the file became shorter.
            RackferryError: the region refuses it, or its bytes are others than were said.
        """
        self._progress_at = self.now()
        while True:
            try:
                with connected(self.socket_path) as line:
                    self._send(line)
            except NoDaemon as error:
                if self.now() - self._progress_at > PATIENCE_S:
                    raise
                self._pause("waiting for the region", error)
            except (Busy, Stale, TransferError) as error:
                self._progress_at = self.now()
                self._pause("waiting", error)
            else:
                return

    def _pause(self, phase: str, error: RackferryError) -> None:
        self.tell({"phase": phase, "object": error.message})
        self._told_bytes = -_TELL_EACH_BYTES
        self.wait(_PAUSE_S)

    def _send(self, line: Line) -> None:
        opened = line.call(
            b"OpenUpload", sha256=self.sha256.encode("ascii"), size_bytes=b"%d" % self.size_bytes
        )
        at_bytes = int(opened[b"held_bytes"])
        self.file.seek(at_bytes)
        sent: deque[bytes] = deque()
        while piece := self.file.read(min(PIECE_BYTES, self.size_bytes - at_bytes)):
            tag = line.begin(b"WriteUpload", offset=b"%d" % at_bytes, piece=piece)
            at_bytes += len(piece)
            self.sent_bytes += len(piece)
            sent.append(tag)
            if len(sent) == WINDOW:
                line.answer(sent.popleft())
            self._note_progress(at_bytes)
        while sent:
            line.answer(sent.popleft())
        if at_bytes < self.size_bytes:
            raise IntegrityError(
                f"became shorter while it was sent: {at_bytes} of {self.size_bytes} bytes are left",
                object=str(getattr(self.file, "name", "")),
                code="upload-digest",
                remedy="run the command again when nobody writes to the file",
            )
        line.call(b"CloseUpload")

    def _note_progress(self, at_bytes: int) -> None:
        self._progress_at = self.now()
        if abs(at_bytes - self._told_bytes) >= _TELL_EACH_BYTES or at_bytes == self.size_bytes:
            self._told_bytes = at_bytes
            self.tell(
                {"phase": "sending", "fetched_bytes": at_bytes, "total_bytes": self.size_bytes}
            )
