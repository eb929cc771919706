"""What a region's database and a rack's disk hold, hashed from outside.

Nothing here asks a daemon: the rows of the database file and the files on the disk are read
as they lie there, so that a daemon cannot vouch for itself. Every function raises
``AssertionError`` for the first thing that is visible and not right.
"""

import hashlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import attrs

from tests.integration.site import BESIDE, RECORD
from tests.integration.sources import MIB

CHUNKS_PER_BLOB = 1 << 20


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@attrs.frozen
class RegionHolds:
    """``complete`` blobs of images (SHA-256), bytes of all and of partial ones, ``published``."""

    complete: frozenset[str]
    held_bytes: int
    partial_bytes: int
    published: frozenset[str]


@contextmanager
def _copied(database: Path) -> Iterator[sqlite3.Connection]:
    """A copy of a database that nobody has open; the original is left as the kill left it."""
    with tempfile.TemporaryDirectory(prefix="rackferry-") as name:
        for suffix in ("", "-wal"):
            original = database.with_name(database.name + suffix)
            if original.exists():
                shutil.copy(original, Path(name) / f"copy.db{suffix}")
        with closing(sqlite3.connect(Path(name) / "copy.db")) as connection:
            yield connection


def region_holds(database: Path) -> RegionHolds:
    """Hash every blob of a stopped or killed region; all that is visible must be right.

    Raises:
        AssertionError: a complete blob has other bytes than its name says, a partial one has
            a wrong chunk, or a published image lacks a file.
    """
    with _copied(database) as rows:
        blobs = rows.execute(
            "SELECT id, sha256, state, size_bytes, held_bytes FROM blob WHERE state <> 'dead'"
        ).fetchall()
        complete = set()
        partial_bytes = 0
        all_bytes = sum(held_bytes for *_, held_bytes in blobs)
        for blob_id, name, state, size_bytes, held_bytes in blobs:
            assert _hashed(rows, blob_id, name) == held_bytes, f"{state} {name} lacks rows"
            if state == "complete":
                found = rows.execute("SELECT digests FROM blob WHERE id = ?", (blob_id,))
                assert found.fetchone()[0][-32:].hex() == name, f"{name} has a foreign list"
                assert held_bytes == size_bytes, f"{name} is complete with {held_bytes} bytes"
                complete.add(name)
            else:
                partial_bytes += held_bytes
        published = set()
        for key, name in rows.execute(
            "SELECT os || '/' || release, sha256 FROM image"
            " JOIN image_file ON image_file.image_id = image.id WHERE state = 'published'"
        ):
            assert name in complete, f"{key} is published without {name}"
            published.add(key)
        # Beside them there are documents: of sources, and of the region's own stream, old ones too.
        files = {name for (name,) in rows.execute("SELECT sha256 FROM image_file")}
        documents = {name for (name,) in rows.execute("SELECT raw_sha256 FROM source_document")}
        assert documents <= complete, "a document was kept without its bytes"
    return RegionHolds(frozenset(complete & files), all_bytes, partial_bytes, frozenset(published))


def _hashed(rows: sqlite3.Connection, blob_id: int, name: str) -> int:
    """Check the running digest of every row of a blob; the bytes they hold."""
    running, size_bytes, first = hashlib.sha256(), 0, blob_id * CHUNKS_PER_BLOB
    found = rows.execute(
        "SELECT id, digest, data FROM chunk WHERE id BETWEEN ? AND ? ORDER BY id",
        (first, first + CHUNKS_PER_BLOB - 1),
    )
    for seq, (row_id, digest, content) in enumerate(found):
        running.update(content)
        assert row_id == first + seq, f"{name} has a gap before chunk {seq}"
        assert running.digest() == digest, f"chunk {seq} of {name} is wrong"
        size_bytes += len(content)
    return size_bytes


def rack_held_bytes(images_dir: Path) -> int:
    """What a killed rack has on its disk, finished or begun; each blob once."""
    found = [path for name in ("cache", "partial") for path in (images_dir / name).glob("*")]
    return sum(path.stat().st_size for path in found)


class RackWatch:
    """Looks at a rack's directory again and again, also while it is being written.

    A name in ``cache/`` is hashed when it is first seen; a snapshot, every file of it, when
    ``current`` first points to it.
    """

    def __init__(self, images_dir: Path) -> None:
        self._images_dir = images_dir
        self._seen: set[str] = set()

    def look(self) -> None:
        """Whatever is visible now must be right.

        Raises:
            AssertionError: it is not.
        """
        cache = self._images_dir / "cache"
        for path in cache.iterdir() if cache.is_dir() else ():
            # Hidden: what a start probes the file system with, and removes.
            if path.name not in self._seen and not path.name.startswith("."):
                found = sha256_of(path)
                assert found == path.name, f"cache/{path.name} has the content {found}"
                self._seen.add(path.name)
        current = self._images_dir / "current"
        if current.is_symlink() and (name := current.readlink().name) not in self._seen:
            _check_snapshot(self._images_dir / name)
            self._seen.add(name)


def _check_snapshot(snapshot: Path) -> dict[str, str]:
    """Hash every file of a snapshot against its record; path -> SHA-256."""
    record = json.loads((snapshot / RECORD).read_bytes())
    held = {}
    for path, file in record["files"].items():
        held[path] = sha256_of(snapshot / path)
        assert held[path] == file["sha256"], f"{path} of {snapshot.name} has other bytes"
    return held


def compare_rack(images_dir: Path, database: Path, originals: Mapping[str, str]) -> None:
    """Compare a synced rack with the originals, and with the view of its running region.

    Args:
        images_dir: the rack's.
        database: the region's SQLite file.
        originals: path in the tree -> SHA-256 of the original file.

    Raises:
        AssertionError: a file is missing, too many, or other than it should be.
    """
    snapshot = images_dir / "current"
    everything = _check_snapshot(snapshot)
    on_disk = {str(path.relative_to(snapshot)) for path in snapshot.rglob("*") if path.is_file()}
    assert on_disk == {*everything, RECORD}, f"in the tree: {sorted(on_disk)}"
    held = {path: each for path, each in everything.items() if path.split("/")[0] not in BESIDE}
    assert held == dict(originals), f"held {sorted(held)}, wanted {sorted(originals)}"
    beside = {each for path, each in everything.items() if path.startswith("mirror/")}
    assert beside >= set(held.values()), "the mirror lacks a file of an image"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as rows:
        promised = _view(rows, json.loads((snapshot / RECORD).read_bytes())["view_digest"])
    assert promised == held, f"the view has {sorted(promised)}"


def _view(rows: sqlite3.Connection, held_digest: str) -> dict[str, str]:
    """What the newest view promises, which must be the one held; path -> SHA-256."""

    def document(name: str) -> bytes:
        found = rows.execute("SELECT content FROM document WHERE sha256 = ?", (name,))
        content = bytes(found.fetchone()[0])
        assert hashlib.sha256(content).hexdigest() == name, f"document {name} is another"
        return content

    newest = rows.execute("SELECT view_sha256 FROM generation ORDER BY number DESC LIMIT 1")
    assert newest.fetchone()[0] == held_digest, "the rack holds an older view"
    view = json.loads(document(held_digest))
    return {
        f"{key}/{file['name']}": file["sha256"]
        for key, image in view["images"].items()
        for file in json.loads(document(image["document_sha256"]))["files"]
    }


def mib(size_bytes: float) -> str:
    """A size for people."""
    return f"{size_bytes / MIB:.1f} MiB"
