"""Writes down the file operations of real code, for ``tests.doubles.power_cuts``."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from tests.doubles.power_cuts import ROOT, Key, Names, Node, Operation, Sync, Truncate, Write


class Recorder:
    """What is done below a directory, which must be empty at first; on one thread.

    Attributes:
        operations: all so far.
    """

    def __init__(self, root: Path) -> None:
        self.operations: list[Operation] = []
        self._root = str(root)
        self._names: dict[Key, Node] = {}
        self._open: dict[int, Node] = {}
        self._offsets: dict[int, int] = {}
        self._last = ROOT
        self._real: dict[str, Callable[..., Any]] = {}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Within this, operations are written down, and done."""
        wrapped = {
            "open": self._opened,
            "close": self._closed,
            "dup": self._duplicated,
            "writev": self._written,
            "ftruncate": self._truncated,
            "lseek": self._sought,
            "fsync": self._synced,
            "fdatasync": self._synced,
            "mkdir": self._made,
            "symlink": self._symlinked,
            "link": self._linked,
            "rename": self._renamed,
            "unlink": self._removed,
            "rmdir": self._removed,
        }
        with ExitStack() as stack:
            for name, record in wrapped.items():
                self._real[name] = getattr(os, name)
                stack.enter_context(mock.patch.object(os, name, self._wrapper(name, record)))
            yield

    def _wrapper(self, name: str, record: Callable[..., None]) -> Callable[..., Any]:
        real = self._real[name]

        def do(*args: Any, **named: Any) -> Any:
            result = real(*args, **named)
            record(result, *args, **named)
            return result

        return do

    def _key(self, path: Any, dir_fd: int | None = None) -> Key | None:
        """Which name in which directory a path is; None outside."""
        text = os.fspath(path)
        if dir_fd is not None:
            return self._open[dir_fd].number, text
        if not text.startswith(f"{self._root}/"):
            return None
        directory = ROOT
        *above, name = text[len(self._root) + 1 :].split("/")
        for each in above:
            directory = self._names[directory, each].number
        return directory, name

    def _change(self, *changes: tuple[Key, Node | None]) -> None:
        for key, node in changes:
            if node is None:
                self._names.pop(key, None)
            else:
                self._names[key] = node
        self.operations.append(Names(changes))

    def _new(self, key: Key | None, **further: Any) -> None:
        if key is not None:
            self._last += 1
            self._change((key, Node(self._last, **further)))

    # What each call means

    def _opened(
        self, fd: int, path: Any, flags: int, mode: int = 0, *, dir_fd: int | None = None
    ) -> None:
        if os.fspath(path) == self._root:
            self._open[fd] = Node(ROOT, is_directory=True)
            return
        key = self._key(path, dir_fd)
        if key is None:
            return
        if key not in self._names:
            self._new(key)
        self._open[fd] = self._names[key]
        self._offsets[fd] = 0

    def _closed(self, _: None, fd: int) -> None:
        self._open.pop(fd, None)

    def _duplicated(self, new: int, fd: int) -> None:
        if fd in self._open:
            self._open[new] = self._open[fd]

    def _written(self, count: int, fd: int, parts: Sequence[bytes]) -> None:
        if fd in self._open:
            content = b"".join(parts)[:count]
            self.operations.append(Write(self._open[fd].number, self._offsets[fd], content))
            self._offsets[fd] += count

    def _truncated(self, _: None, fd: int, size_bytes: int) -> None:
        if fd in self._open:
            self.operations.append(Truncate(self._open[fd].number, size_bytes))

    def _sought(self, offset: int, fd: int, *_: int) -> None:
        if fd in self._open:
            self._offsets[fd] = offset

    def _synced(self, _: None, fd: int) -> None:
        if fd in self._open:
            self.operations.append(Sync(self._open[fd].number))

    def _made(self, _: None, path: Any, *args: Any, **named: Any) -> None:
        self._new(self._key(path), is_directory=True)

    def _symlinked(self, _: None, target: Any, path: Any, *args: Any, **named: Any) -> None:
        self._new(self._key(path), target=os.fspath(target))

    def _linked(self, _: None, source: Any, target: Any, **named: Any) -> None:
        old, new = self._key(source), self._key(target)
        if old is not None and new is not None:
            self._change((new, self._names[old]))

    def _renamed(self, _: None, source: Any, target: Any) -> None:
        old, new = self._key(source), self._key(target)
        if old is not None and new is not None:
            self._change((old, None), (new, self._names[old]))

    def _removed(self, _: None, path: Any, *, dir_fd: int | None = None) -> None:
        key = self._key(path, dir_fd)
        if key is not None:
            self._change((key, None))
