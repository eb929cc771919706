"""``boot-resources export``: writes what a region holds where the user wants it.

The region says what there is and gives the bytes, over the admin socket; it may run as
another user, in a sandbox, and needs no way to the disk.
"""

import time
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import attrs

from common.bundles import MANIFEST, BundleFile, Manifest
from common.canonical import typed
from common.commands import BLOB_PIECE_BYTES
from common.digests import CHUNK_BYTES
from common.errors import IntegrityError
from common.shell.bundle_files import BundleReader, read_manifest
from common.shell.bundle_target import DirectoryTarget, Growing, Target, TarTarget
from common.shell.line import Line, Tell, connected
from common.vocabulary import Question

WINDOW = 16
"""Pieces asked for and not yet written; a region answers no more than 32 at once."""
TELL_EVERY_S = 0.25
_TRIES = 2


def export(socket_path: str, question: Question, tell: Tell) -> dict[str, Any]:
    """Write a bundle; a second run goes on where the first one was interrupted.

    Args:
        socket_path: the region's admin socket.
        question: ``boot-resources export OUT``, with what it is to hold.
        tell: called with how far it is.

    Raises:
        IntegrityError: the region gives other bytes than it says.
        NoSpace, StorageError: the target cannot be written.
        RackferryError: what the region says, or what is wrong with the earlier bundle.
    """
    place = Path(question.ids[0])
    since = question.parameters.get("since")
    earlier = None if since is None else _earlier(Path(str(since)))
    asked = {name: value for name, value in question.parameters.items() if name != "since"}
    with connected(socket_path) as line:
        said = line.answer_to(attrs.evolve(question, parameters=asked))
        manifest = typed(Manifest, said["manifest"], "bundle manifest")
        if earlier is not None:
            manifest = manifest.without(earlier)
        target: Target = TarTarget(place) if place.suffix == ".tar" else DirectoryTarget(place)
        try:
            fetched_bytes = _Export(line, target, tell, manifest).run()
        finally:
            target.leave()
    return _row(place, manifest, fetched_bytes)


def _earlier(place: Path) -> Manifest:
    """The manifest of an earlier bundle: its directory, its tar, or the manifest itself."""
    if place.suffix == ".json":
        return read_manifest(place)
    with BundleReader(place) as bundle:
        return bundle.manifest()


class _Export:
    def __init__(self, line: Line, target: Target, tell: Tell, manifest: Manifest) -> None:
        self._line = line
        self._target = target
        self._tell = tell
        self._manifest = manifest
        self._done_bytes = 0
        self._fetched_bytes = 0
        self._told_s = 0.0

    def run(self) -> int:
        """Write everything; how many bytes had to be fetched."""
        for path, file in sorted(self._manifest.here.items()):
            self._write(path, file)
        self._target.close(MANIFEST, self._manifest.to_document())
        return self._fetched_bytes

    def _write(self, path: str, file: BundleFile) -> None:
        self._progress(path, 0)
        growing = self._target.begin(path, file)
        if growing is not None:
            self._fill(growing, path, file)
            self._target.finish(path, file)
        self._done_bytes += file.size_bytes

    def _fill(self, growing: Growing, path: str, file: BundleFile) -> None:
        for _ in range(_TRIES):
            for piece in read_blob(self._line, file, growing.held_bytes):
                growing.write(piece)
                self._fetched_bytes += len(piece)
                self._progress(path, growing.held_bytes)
            if growing.is_right:
                return
            growing.forget()  # what was there before may have been somebody else's
        raise IntegrityError(
            f"the region gives other bytes than SHA-256 {file.sha256}",
            object=path,
            code="integrity-sha256",
            remedy="what the region holds is damaged: import again there, then export again",
        )

    def _progress(self, path: str, held_bytes: int) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s >= TELL_EVERY_S:
            self._told_s = now_s
            self._tell(
                {
                    "phase": "exporting",
                    "fetched_bytes": self._done_bytes + held_bytes,
                    "total_bytes": self._manifest.size_bytes,
                    "object": path,
                }
            )


def read_blob(line: Line, file: BundleFile, offset: int) -> Iterator[bytes]:
    """The bytes of a blob from ``offset`` on; a few pieces are on their way at once."""
    waiting: deque[bytes] = deque()
    wanted = _wanted(offset, file.size_bytes)
    while True:
        for at, length in islice(wanted, WINDOW - len(waiting)):
            tag = line.begin(
                b"ReadBlob",
                sha256=file.sha256.encode("ascii"),
                of_digests=b"False",
                offset=b"%d" % at,
                length=b"%d" % length,
            )
            waiting.append(tag)
        if not waiting:
            return
        yield line.answer(waiting.popleft())[b"piece"]


def _wanted(offset: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Offset and length of the pieces; none crosses the end of a chunk."""
    while offset < size_bytes:
        end = min(size_bytes, (offset // CHUNK_BYTES + 1) * CHUNK_BYTES)
        length = min(BLOB_PIECE_BYTES, end - offset)
        yield offset, length
        offset += length


def _row(place: Path, manifest: Manifest, fetched_bytes: int) -> dict[str, Any]:
    elsewhere = [file for file in manifest.files.values() if file.elsewhere]
    return {
        "out": str(place),
        "images": len(manifest.images),
        "files": len(manifest.here),
        "size_bytes": manifest.size_bytes,
        "fetched_bytes": fetched_bytes,
        "elsewhere": len(elsewhere),
        "elsewhere_bytes": sum(file.size_bytes for file in elsewhere),
    }
