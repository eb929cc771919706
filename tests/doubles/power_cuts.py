"""What may be on a disk after a power cut: a model of what POSIX promises, and what not (pure).

Promised:

* What was written to a file before an ``fsync`` (or ``fdatasync``) of it is there.
* The names in a directory are there as they were at its ``fsync``.
* A rename is whole: both its names change, or neither; and changes of one name come in order.

Not promised, and therefore tried here:

* Of what was written since, each sector may be there, or not, or be zeros; the size may be
  the old one, the new one or one between.
* Of the names changed since, each change may be there or not, whatever was done before or
  after it in this or another directory, and although the file itself was synced.

``Disk`` follows the operations one by one; ``Disk.after_power_cut`` yields what may be left.
"""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence

import attrs

SECTOR_BYTES = 512
ROOT = 0

Key = tuple[int, str]
"""A directory, and a name in it."""


@attrs.frozen
class Node:
    """A file, or a directory, or (with a ``target``) a symbolic link."""

    number: int
    is_directory: bool = False
    target: str = ""


@attrs.frozen
class Names:
    """Names that change together: all of them, or none. None takes a name away."""

    changes: tuple[tuple[Key, Node | None], ...]


@attrs.frozen
class Write:
    """Bytes that are written to a file."""

    file: int
    offset: int
    content: bytes = attrs.field(repr=False)


@attrs.frozen
class Truncate:
    """A file that gets a size."""

    file: int
    size_bytes: int


@attrs.frozen
class Sync:
    """A file's content, or a directory's names, are on the disk from here on."""

    number: int


@attrs.frozen
class Said:
    """From here on somebody relies on ``word`` being on the disk."""

    word: str


Operation = Names | Write | Truncate | Sync | Said
Found = Mapping[str, tuple[Node, bytes]]
"""A whole tree: by path, what stands there, and its content."""


def _written(content: bytes, operations: Sequence[Write | Truncate]) -> bytes:
    for each in operations:
        if isinstance(each, Truncate):
            content = content[: each.size_bytes].ljust(each.size_bytes, b"\0")
        else:
            before = content[: each.offset].ljust(each.offset, b"\0")
            content = before + each.content + content[each.offset + len(each.content) :]
    return content


def _remains(old: bytes, new: bytes) -> list[bytes]:
    """What may be left of a file whose content was ``old`` when it was synced, and became ``new``.

    The first two are all of it and none of it.
    """
    found = [new, old]
    for at in range(0, max(len(old), len(new)), SECTOR_BYTES):
        end = at + SECTOR_BYTES
        if old[at:end] == new[at:end]:
            continue
        rest = len(new) - at
        found.append(new[:at] + old[at:])  # the later sectors were not written
        found.append(new[:at])  # nor was the size
        if rest > 0:
            found.append(new[:at] + bytes(rest))  # only the size was
            found.append(new[:at] + bytes(min(rest, SECTOR_BYTES)) + new[end:])  # one is lost
            found.append(new[:at] + old[at:end].ljust(min(rest, SECTOR_BYTES), b"\0") + new[end:])
    return list(dict.fromkeys(found))


@attrs.define
class Disk:
    """What is on a disk for sure, and what was done since."""

    settled: dict[Key, Node] = attrs.field(factory=dict)
    contents: dict[int, bytes] = attrs.field(factory=dict)
    unsettled: list[Names] = attrs.field(factory=list)
    unwritten: dict[int, list[Write | Truncate]] = attrs.field(factory=dict)
    said: list[str] = attrs.field(factory=list)

    def do(self, operation: Operation) -> None:
        """One more operation."""
        match operation:
            case Names():
                self.unsettled.append(operation)
            case Write() | Truncate():
                self.unwritten.setdefault(operation.file, []).append(operation)
            case Sync():
                self._sync(operation.number)
            case Said():
                self.said.append(operation.word)

    def _sync(self, number: int) -> None:
        pending = self.unwritten.pop(number, [])
        if pending:
            self.contents[number] = _written(self.contents.get(number, b""), pending)
        settled: list[Names] = []
        left: list[Names] = []
        keys: set[Key] = set()
        # What came before on the same names comes along.
        for each in reversed(self.unsettled):
            changed = {key for key, _ in each.changes}
            if changed & keys or any(directory == number for directory, _ in changed):
                keys |= changed
                settled.append(each)
            else:
                left.append(each)
        for each in reversed(settled):
            _apply(self.settled, each)
        self.unsettled = left[::-1]

    def now(self) -> Found:
        """What a running system sees."""
        return self._tree(self.unsettled, dict.fromkeys(self.unwritten, 0), self._choices())

    def after_power_cut(self, draw: random.Random, most: int) -> Iterator[Found]:
        """Trees that may be found after a power cut; some come several times.

        All of them, if names and contents combine to no more than ``most``; else those in
        which one thing is lost or kept, and random ones.
        """
        names = list(_subsets(self.unsettled, draw, most))
        choices = self._choices()
        files = list(choices)
        count = len(names)
        for variants in choices.values():
            count *= len(variants)
        if count <= most:
            ranges = [range(len(choices[file])) for file in files]
            for kept, picked in itertools.product(names, itertools.product(*ranges)):
                yield self._tree(kept, dict(zip(files, picked, strict=True)), choices)
            return
        for kept in names:
            for pick in (0, 1):
                yield self._tree(kept, dict.fromkeys(files, pick), choices)
        for kept, others in itertools.product((self.unsettled, []), (0, 1)):
            for file in files:
                for pick in range(2, len(choices[file])):
                    yield self._tree(kept, dict.fromkeys(files, others) | {file: pick}, choices)
        for _ in range(most // 4):
            picked = {file: draw.randrange(len(choices[file])) for file in files}
            yield self._tree(draw.choice(names), picked, choices)

    def _choices(self) -> dict[int, list[bytes]]:
        found = {}
        for file, pending in self.unwritten.items():
            old = self.contents.get(file, b"")
            found[file] = _remains(old, _written(old, pending))
        return found

    def _tree(
        self,
        kept: Sequence[Names],
        picked: Mapping[int, int],
        choices: Mapping[int, list[bytes]],
    ) -> Found:
        names = dict(self.settled)
        for each in kept:
            _apply(names, each)
        inside: dict[int, list[tuple[str, Node]]] = {}
        for (directory, name), node in names.items():
            inside.setdefault(directory, []).append((name, node))
        found: dict[str, tuple[Node, bytes]] = {}
        pending = [(ROOT, "")]
        while pending:
            directory, path = pending.pop()
            for name, node in inside.get(directory, ()):
                here = path + name
                variants = choices.get(node.number)
                pick = picked.get(node.number, 0)
                content = variants[min(pick, len(variants) - 1)] if variants else None
                found[here] = (
                    node,
                    self.contents.get(node.number, b"") if content is None else content,
                )
                if node.is_directory:
                    pending.append((node.number, f"{here}/"))
        return found


def _apply(names: dict[Key, Node], change: Names) -> None:
    for key, node in change.changes:
        if node is None:
            names.pop(key, None)
        else:
            names[key] = node


def _subsets(all_: Sequence[Names], draw: random.Random, most: int) -> Iterator[list[Names]]:
    """All subsets, if there are no more than ``most``; else the telling ones, and random ones."""
    count = len(all_)
    if 2**count <= most:
        for bits in itertools.product((True, False), repeat=count):
            yield list(itertools.compress(all_, bits))
        return
    for at in range(count + 1):
        yield list(all_[:at])
        yield list(all_[at:])
    for at in range(count):
        yield [*all_[:at], *all_[at + 1 :]]
        yield [all_[at]]
    for _ in range(most // 4):
        yield [each for each in all_ if draw.random() < 0.5]
