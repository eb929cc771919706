"""A relay before a region's admin socket, which counts what shells send.

It tells, of each upload, from which byte on it was sent: what the region said that it holds.
"""

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import attrs

_OFFSET = re.compile(rb"\0\x06offset\0.(\d+)\0", re.DOTALL)
_HEAD_BYTES = 1 << 16
_READ_BYTES = 1 << 18


@attrs.define
class Sent:
    """One upload that crossed: from ``begin``, ``size_bytes`` of boxes."""

    begin: int
    size_bytes: int = 0

    @property
    def end(self) -> int:
        """Where it had come to, at most: the boxes' own bytes are in it."""
        return self.begin + self.size_bytes


class UploadRelay:
    """Listens at ``path`` and hands on to ``target``.

    Attributes:
        uploads: every connection that sent something of an upload, in order.
        hold_at: how far an upload may come before it is held back; None: to its end.
    """

    def __init__(self, path: Path, target: Path) -> None:
        self.path = path
        self.uploads: list[Sent] = []
        self.hold_at: int | None = None
        self._target = target
        self._news = threading.Condition()
        self._open: set[socket.socket] = set()
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(str(path))
        self._listening.listen()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def wait_for(self, is_so: Callable[[], bool], limit_s: float) -> bool:
        """Wait until something is so, looking whenever bytes crossed; whether it came to be."""
        with self._news:
            return self._news.wait_for(is_so, limit_s)

    def let_go(self) -> None:
        """Hold nothing back any more."""
        with self._news:
            self.hold_at = None
            self._news.notify_all()

    @property
    def reached(self) -> int:
        """How far the upload of now has come; 0 before the first."""
        return self.uploads[-1].end if self.uploads else 0

    @property
    def lost_bytes(self) -> list[int]:
        """What each connection but the last had sent and the next one began before."""
        return [
            max(0, before.end - after.begin)
            for before, after in zip(self.uploads, self.uploads[1:], strict=False)
        ]

    def close(self) -> None:
        """End all connections."""
        self.let_go()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._accepting.join()
        for each in tuple(self._open):
            _end(each)

    def _accept(self) -> None:
        while True:
            try:
                shell, _ = self._listening.accept()
            except OSError:
                return
            region = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                region.connect(str(self._target))
            except OSError:
                shell.close()
                continue
            self._open |= {shell, region}
            threading.Thread(target=self._to_region, args=(shell, region), daemon=True).start()
            threading.Thread(target=self._to_shell, args=(shell, region), daemon=True).start()

    def _to_region(self, shell: socket.socket, region: socket.socket) -> None:
        head, sent = b"", None
        with contextlib.suppress(OSError):
            while piece := shell.recv(_READ_BYTES):
                region.sendall(piece)
                with self._news:
                    self._hold_back(sent)
                    if sent is None and len(head) < _HEAD_BYTES:
                        head += piece
                        found = _OFFSET.search(head) if b"WriteUpload" in head else None
                        if found is not None:
                            sent = Sent(int(found[1]))
                            self.uploads.append(sent)
                    if sent is not None:
                        sent.size_bytes += len(piece)
                    self._news.notify_all()
        self._over(shell, region)

    def _hold_back(self, sent: Sent | None) -> None:
        """Wait, if an upload has come as far as it may."""
        self._news.wait_for(lambda: not (sent and self.hold_at and sent.end >= self.hold_at))

    def _to_shell(self, shell: socket.socket, region: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := region.recv(_READ_BYTES):
                shell.sendall(piece)
        self._over(shell, region)

    def _over(self, *pair: socket.socket) -> None:
        for each in pair:
            _end(each)
        self._open -= set(pair)
        with self._news:
            self._news.notify_all()


def _end(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
