"""Tests of the rack's partial files: resuming, syncing, finishing."""

import errno
import os
import subprocess
from collections.abc import Awaitable, Coroutine
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SkipTest

from common.digests import CHUNK_BYTES
from common.errors import NoSpace, StorageError
from rackd.partials import MOST_UNSYNCED_BYTES, SYNC_EVERY_BYTES, PartialSink
from tests.doubles.disks import LibraryCase, SlowThreads, at_once
from tests.doubles.images import content, digests_of, file_of

T = TypeVar("T")
MIB = CHUNK_BYTES
BLOB = content(3 * MIB + 500)


class PartialCase(LibraryCase):
    """A sink for one blob of three and a half chunks."""

    def setUp(self) -> None:
        super().setUp()
        self.file = file_of("squashfs", BLOB)
        self.path = self.images_dir / "partial" / f"{self.file.sha256}.part"
        self.finished = self.images_dir / "cache" / self.file.sha256
        self.sink = self.library.sink(self.file, digests_of(BLOB))
        self.addCleanup(lambda: self.wait(self.sink.close()))

    def wait(self, work: Awaitable[T]) -> T:
        async def waited() -> T:
            return await work

        return self.successResultOf(Deferred.fromCoroutine(waited()))

    def resume(self) -> int:
        return self.wait(self.sink.resume()).size_bytes

    def write_from(self, offset: int) -> None:
        chunks = [BLOB[at : at + MIB] for at in range(offset, len(BLOB), MIB)]
        self.wait(self.sink.write(chunks, []))


class ResumeTests(PartialCase):
    """What is believed of a file that was left behind."""

    def test_cases(self) -> None:
        """Exactly the right whole chunks at the beginning are kept, whatever follows them."""
        flipped = bytearray(BLOB)
        flipped[MIB + 7] ^= 1
        cases = {
            "nothing": (b"", 0),
            "less than a chunk": (BLOB[:100], 0),
            "cut in a chunk": (BLOB[: 2 * MIB + 100], 2 * MIB),
            "whole chunks": (BLOB[: 2 * MIB], 2 * MIB),
            "all": (BLOB, len(BLOB)),
            "too long": (BLOB + b"more", len(BLOB)),
            "a flipped bit": (bytes(flipped), MIB),
            "zeros after a power cut": (BLOB[:MIB] + bytes(2 * MIB), MIB),
            "something else": (content(2 * MIB, seed=9), 0),
        }
        for name, (left, kept) in cases.items():
            self.path.write_bytes(left)
            self.assertEqual(self.resume(), kept, name)
            self.assertEqual(self.path.stat().st_size, kept, name)
            self.write_from(kept)
            self.assertEqual(self.path.read_bytes(), BLOB, name)

    def test_unreadable_sector(self) -> None:
        """A sector that cannot be read ends what is good; it is fetched again."""
        self.path.write_bytes(BLOB)
        real = os.pread

        def pread(fd: int, length: int, offset: int) -> bytes:
            if offset >= 2 * MIB:
                raise OSError(errno.EIO, "x")
            return real(fd, length, offset)

        with mock.patch("os.pread", pread):
            self.assertEqual(self.resume(), 2 * MIB)

    def test_planted_symlink(self) -> None:
        """A symbolic link in the place of a partial is not followed."""
        victim = self.images_dir / "victim"
        victim.write_bytes(b"mine")
        self.path.symlink_to(victim)
        self.failureResultOf(Deferred.fromCoroutine(self.sink.resume()), StorageError)
        self.assertEqual(victim.read_bytes(), b"mine")

    def test_restart(self) -> None:
        """After starting over, writing begins at the first byte."""
        self.path.write_bytes(BLOB[: 2 * MIB])
        self.resume()
        self.wait(self.sink.restart())
        self.write_from(0)
        self.assertEqual(self.path.read_bytes(), BLOB)


class FinishTests(PartialCase):
    """The last step."""

    def test_finish(self) -> None:
        """A finished blob has its name, is read-only, and its partial is gone."""
        self.resume()
        self.write_from(0)
        self.assertFalse(self.finished.exists())
        self.wait(self.sink.finish(b""))
        self.assertEqual(self.finished.read_bytes(), BLOB)
        self.assertEqual(self.finished.stat().st_mode & 0o7777, 0o444)
        self.assertFalse(self.path.exists())

    def test_failed_sync(self) -> None:
        """If the last sync fails, there is no finished blob, and it is begun anew."""
        self.path.write_bytes(BLOB[:MIB])
        self.resume()
        self.write_from(MIB)
        error = self.failed_finish("os.fsync")
        self.assertEqual(error.code, "storage-sync")
        self.assertFalse(self.finished.exists())
        self.assertFalse(self.path.exists())
        self.assertEqual(self.resume(), 0)
        self.write_from(0)
        self.wait(self.sink.finish(b""))
        self.assertEqual(self.finished.read_bytes(), BLOB)

    def failed_finish(self, refused: str, number: int = errno.EIO) -> Any:
        with mock.patch(refused, side_effect=OSError(number, "x")):
            finishing = Deferred.fromCoroutine(self.sink.finish(b""))
            return self.failureResultOf(finishing, StorageError, NoSpace).value

    def test_failed_sync_of_the_name(self) -> None:
        """A name that could not be synced is taken away: nobody would sync it later."""
        self.resume()
        self.write_from(0)
        sync = StorageError("cannot sync", code="storage-sync")
        with mock.patch("common.durable.sync_directory", side_effect=sync):
            self.failureResultOf(Deferred.fromCoroutine(self.sink.finish(b"")), StorageError)
        self.assertEqual(list(self.finished.parent.iterdir()), [])

    def test_refused_name(self) -> None:
        """A rename that was refused costs nothing that was synced."""
        self.path.write_bytes(BLOB)
        self.resume()
        self.failed_finish("pathlib.Path.rename", errno.EACCES)
        self.assertEqual(self.resume(), len(BLOB))

    def test_full_at_the_last_sync(self) -> None:
        """A file system that finds room only when it syncs: what was synced before stays."""
        self.path.write_bytes(BLOB[:MIB])
        self.resume()
        self.write_from(MIB)
        self.failed_finish("os.fsync", errno.ENOSPC)
        self.assertEqual(self.resume(), MIB)

    def test_full_disk(self) -> None:
        """On a really full disk, writing is NoSpace, and what is whole can be resumed."""
        small = self.images_dir / "partial"
        command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            raise SkipTest("cannot mount a tmpfs here")
        self.addCleanup(subprocess.run, ["umount", "-l", str(small)], check=True)
        self.resume()
        chunks = [BLOB[at : at + MIB] for at in range(0, len(BLOB), MIB)]
        writing = Deferred.fromCoroutine(self.sink.write(chunks, []))
        self.failureResultOf(writing, NoSpace)
        self.wait(self.sink.close())
        self.assertEqual(self.resume(), 2 * MIB)
        self.wait(self.sink.close())


class SyncTests(PartialCase):
    """Syncs that run beside the writing."""

    def setUp(self) -> None:
        super().setUp()
        self.slow = SlowThreads()
        self.big = PartialSink(
            self.images_dir / "partial" / "big",
            self.images_dir / "cache" / "big",
            100 * MIB,
            b"",
            on_disk=at_once,
            on_sync=self.slow,
        )
        self.wait(self.big.resume())
        self.addCleanup(self.let_go)
        self.batch = [bytes(MIB)] * 4

    def let_go(self) -> None:
        while self.slow.pending:
            self.slow.finish_one()
        self.wait(self.big.close())

    def write(self) -> "Deferred[None]":
        return Deferred.fromCoroutine(self.big.write(self.batch, []))

    def test_beside(self) -> None:
        """A sync starts each 8 MiB, and receiving goes on meanwhile, up to 16 MiB unsynced."""
        self.assertEqual((SYNC_EVERY_BYTES, MOST_UNSYNCED_BYTES), (8 * MIB, 16 * MIB))
        self.successResultOf(self.write())
        self.assertEqual(len(self.slow.pending), 0)
        for _ in range(3):
            self.successResultOf(self.write())
        self.assertEqual(len(self.slow.pending), 1)
        held_back = self.write()
        self.assertNoResult(held_back)
        self.slow.finish_one()
        self.successResultOf(held_back)
        self.assertEqual(len(self.slow.pending), 1)

    def test_the_first_sync_is_of_the_name_too(self) -> None:
        """The name is synced once, with the first bytes: later syncs are of bytes alone."""
        with mock.patch("common.durable.sync_directory") as of_names:
            for _ in range(4):
                self.successResultOf(self.write())
            self.slow.finish_one()
            self.successResultOf(self.write())
            self.slow.finish_one()
        of_names.assert_called_once_with(self.images_dir / "partial")

    def test_failure(self) -> None:
        """A failed sync is raised by the next write, and the blob is begun anew."""
        self.successResultOf(self.write())
        self.successResultOf(self.write())
        self.slow.finish_one()
        for _ in range(2):
            self.successResultOf(self.write())
        with mock.patch("os.fdatasync", side_effect=OSError(errno.EIO, "x")):
            self.slow.finish_one()
        error = self.failureResultOf(self.write(), StorageError).value
        self.assertEqual(error.code, "storage-sync")
        self.assertFalse((self.images_dir / "partial" / "big").exists())

    def test_failure_that_nobody_hears(self) -> None:
        """A sync that fails while the transfer ends for another reason is not forgotten."""
        for _ in range(3):
            self.successResultOf(self.write())
        closing = Deferred.fromCoroutine(self.big.close())
        with mock.patch("os.fdatasync", side_effect=OSError(errno.EIO, "x")):
            self.slow.finish_one()
        self.successResultOf(closing)
        self.assertFalse((self.images_dir / "partial" / "big").exists())

    def test_cancelled_wait(self) -> None:
        """Cancelling a transfer that waits for a sync leaves the sync and the file in order."""
        for _ in range(4):
            self.successResultOf(self.write())
        held_back = self.write()
        held_back.addErrback(lambda _: None)
        held_back.cancel()
        self.slow.finish_one()
        self.wait(self.big.close())
        self.assertEqual(Path(self.images_dir / "partial" / "big").stat().st_size, 16 * MIB)


class CancelTests(PartialCase):
    """Threads that are at work on the file when a transfer is cancelled."""

    def setUp(self) -> None:
        super().setUp()
        self.slow = SlowThreads()
        self.slowly = PartialSink(
            self.path,
            self.finished,
            len(BLOB),
            digests_of(BLOB),
            on_disk=self.slow,
            on_sync=at_once,
        )
        self.path.write_bytes(BLOB)

    def cancelled(self, work: Coroutine[Any, Any, object]) -> "Deferred[object]":
        """The work begun and cancelled, twice, while its thread runs."""
        begun = Deferred.fromCoroutine(work)
        begun.cancel()
        begun.cancel()
        self.assertNoResult(begun)
        return begun

    def test_a_cancelled_end_is_whole(self) -> None:
        """Cancelling waits for the last step, so that nobody closes the file under it."""
        resuming = Deferred.fromCoroutine(self.slowly.resume())
        self.slow.finish_one()
        self.successResultOf(resuming)
        finishing = self.cancelled(self.slowly.finish(b""))
        self.slow.finish_one()
        self.failureResultOf(finishing, CancelledError)
        self.assertEqual(self.finished.read_bytes(), BLOB)

    def test_a_cancelled_failure_is_nobodys(self) -> None:
        """A step that fails after it was cancelled ends as cancelled, and logs nothing."""
        resuming = self.cancelled(self.slowly.resume())
        with mock.patch("os.ftruncate", side_effect=OSError(errno.EIO, "x")):
            self.slow.finish_one()
        self.failureResultOf(resuming, CancelledError)
