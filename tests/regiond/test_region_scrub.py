"""The scrub of a region: real database files, bits that really change, a real source."""

import random
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from common.digests import CHUNK_BYTES, chunk_count, sha256_hex
from common.errors import Conflict, NoDaemon, StorageError
from common.images import Selection
from common.scrub_record import WEEK_S
from common.verbs import BlobName
from regiond.examination import Examination
from regiond.import_service import ImportResult
from regiond.scrub import LOOK_REPAIRED_S, LOOK_S, SAVE_EVERY_S, START_S, Scrub
from regiond.store import blobs, scrubs
from regiond.store.blobs import Blob
from tests.common.test_file_types import tar
from tests.doubles.answering import AnswerCase
from tests.doubles.bit_flips import flip, flip_first_bit, flip_somewhere, page_of
from tests.doubles.importing import (
    DOCUMENTS,
    FIRST,
    JAMMY,
    KEYS,
    SECOND,
    ImportCase,
    path_of,
)
from tests.doubles.stream_documents import item, product
from tests.doubles.streams import inline, some_bytes

UNLIMITED = float("inf")
BIG = some_bytes(3 * CHUNK_BYTES + 777)
ROOT = path_of("jammy", "squashfs")


class ScrubCase(ImportCase):
    """A region that was just started.

    Attributes:
        read: the names of the blobs that were read, one for each reading.
        repairs: how often an import was asked for.
    """

    timeout = 120

    async def setUp(self) -> None:
        await super().setUp()
        self.clock = Clock()
        self.read: list[str] = []
        self.repairs = 0
        self.scrubs: list[Scrub] = []
        real = Scrub._examine

        def examine(scrub: Scrub, blob: Blob, token: int) -> Any:
            self.read.append(blob.sha256)
            return real(scrub, blob, token)

        self.patch(Scrub, "_examine", examine)
        self.scrub = self.begun()

    def begun(self, limit_bytes_s: float = UNLIMITED, name: str = "region-1") -> Scrub:
        """The scrub after a start of regiond; a week begins now."""

        def repair() -> None:
            self.repairs += 1

        self.scrub = Scrub(
            self.database,
            inline,
            holder=name,
            clock=self.clock,
            now=lambda: self.time + self.clock.seconds(),
            random=lambda: 0.5,
            limit_bytes_s=limit_bytes_s,
            repair=repair,
        )
        self.scrub.startService()
        self.scrubs.append(self.scrub)
        return self.scrub

    async def close(self) -> None:
        for scrub in self.scrubs:
            if scrub.running:
                await scrub.stopService()
        await super().close()

    async def restarted(self, limit_bytes_s: float = UNLIMITED) -> None:
        """After a restart of regiond."""
        await self.close()
        self.read.clear()
        await self.open()
        self.begun(limit_bytes_s)

    async def bits_change(self, *changes: Any) -> None:
        """While regiond is down, so that the file is all there is of the database."""
        await self.close()
        for change in changes:
            change()
        await self.open()
        self.begun()

    def asked(self) -> Deferred[dict[str, Any]]:
        return Deferred.fromCoroutine(self.scrub.wait())

    async def whole(self) -> dict[str, Any]:
        """One that an admin waits for."""
        return await self.asked()

    async def names(self) -> list[str]:
        found = await self.database.read(blobs.all_blobs)
        return sorted(blob.sha256 for blob in found if blob.is_complete)

    async def damaged(self) -> list[str]:
        """The objects of open events of damage."""
        return [about for code, about in await self.open_events() if code == "blob-damaged"]

    async def stored(self, content: bytes) -> bytes:
        """What the database has of these bytes."""
        found = await self.blob(content)
        assert found is not None
        return b"".join([
            await self.database.read_chunk(found.id, seq)
            for seq in range(chunk_count(found.held_bytes))
        ])  # fmt: skip


class WhenTests(ScrubCase):
    async def test_weekly(self) -> None:
        """It reads everything by itself, once a week, and not just after a start."""
        await self.jammy(BIG)
        await self.succeed()
        self.clock.advance(START_S)
        self.assertEqual(self.read, [])
        for passes in (1, 2):
            self.clock.pump([LOOK_S] * int(WEEK_S / LOOK_S / 2 if passes == 1 else WEEK_S / LOOK_S))
            self.assertEqual(sorted(self.read), sorted(await self.names() * passes))

    async def test_kept_over_restarts(self) -> None:
        """A restart does not put it off, nor does it begin a scrub."""
        self.clock.advance(START_S)
        next_at = (await self.scrub.status())["next_at"]
        self.clock.advance(WEEK_S / 4)
        await self.restarted()
        self.clock.advance(START_S)
        self.assertEqual((await self.scrub.status())["next_at"], next_at)
        self.assertEqual(self.read, [])

    async def test_asked(self) -> None:
        """An admin has one at once; asked again meanwhile, it is the same one."""
        await self.jammy(BIG)
        await self.succeed()
        await self.restarted(limit_bytes_s=1e6)
        waiting = [self.asked(), self.asked()]
        self.scrub.start()
        status = await self.scrub.status()
        held_bytes = await self.database.read(scrubs.complete_bytes)
        self.assertEqual((status["state"], status["total_bytes"]), ("running", held_bytes))
        self.clock.pump([1.0] * 10)
        for each in waiting:
            status = self.successResultOf(each)
            self.assertEqual(
                [status[name] for name in ("state", "checked_bytes", "total_bytes", "damaged")],
                ["idle", held_bytes, held_bytes, 0],
            )
        self.assertEqual(self.read, await self.names())

    async def test_how_far_it_is(self) -> None:
        """Also within a large file."""
        await self.jammy(BIG)
        await self.succeed()
        await self.restarted(limit_bytes_s=1e6)
        self.scrub.start()
        seen = set()
        while (status := await self.scrub.status())["state"] == "running":
            seen.add(status["checked_bytes"])
            self.clock.advance(0.5)
        self.assertGreater(len(seen), 4)
        self.assertEqual(status["checked_bytes"], await self.database.read(scrubs.complete_bytes))

    async def test_goes_on_after_a_stop(self) -> None:
        """A scrub that was broken off goes on with the blob that it was at."""
        await self.broken_off()
        done, at = self.read[:-1], self.read[-1]
        await self.restarted()
        self.clock.advance(START_S)
        self.assertEqual(self.read[0], at)
        self.assertEqual([*done, *self.read], await self.names())
        self.assertEqual((await self.scrub.status())["state"], "idle")

    async def test_goes_on_after_a_kill(self) -> None:
        """A region that could not say a word goes on where it was ten seconds before."""
        await self.broken_off()
        done, at = self.read[:-1], self.read[-1]
        with mock.patch.object(scrubs, "leave", side_effect=StorageError("killed")):
            await self.restarted()
        self.clock.advance(START_S)
        self.assertEqual(self.read[0], at)
        self.assertEqual([*done, *self.read], await self.names())

    async def broken_off(self) -> None:
        """A scrub that is in the middle of its third blob, or of one soon after."""
        self.publish(self.product("jammy", {FIRST: {
            name: some_bytes(CHUNK_BYTES, seed)
            for seed, name in enumerate(("boot-kernel", "boot-initrd", "squashfs"))
        }}))  # fmt: skip
        await self.select(JAMMY)
        await self.succeed()
        await self.restarted(limit_bytes_s=CHUNK_BYTES / SAVE_EVERY_S / 2)
        self.scrub.start()
        while len(self.read) < 3:
            self.clock.advance(1.0)
        self.clock.pump([1.0] * int(SAVE_EVERY_S + 2))

    async def test_one_region_at_a_time(self) -> None:
        """A second one says who is at it, and takes over when that has been silent."""
        await self.broken_off()
        first, at, count = self.scrub, self.read[-1], len(self.read)
        other = self.begun(name="region-2")
        await self.assertFailure(self.asked(), Conflict)
        self.assertEqual((await other.status())["state"], "running")
        self.assertEqual(self.read[-1], at)
        with mock.patch.object(scrubs, "leave", side_effect=StorageError("killed")):
            await first.stopService()
        self.clock.advance(scrubs.LEASE_TTL_S)
        self.assertEqual((await self.whole())["state"], "idle")
        self.assertEqual(self.read[count], at)

    async def test_a_stop_tells_who_waits(self) -> None:
        """Nobody waits for ever."""
        await self.jammy(BIG)
        await self.succeed()
        await self.restarted(limit_bytes_s=1.0)
        waiting = self.asked()
        await self.scrub.stopService()
        await self.assertFailure(waiting, NoDaemon)

    async def test_a_failure_ends_the_attempt_only(self) -> None:
        """It is told to whoever waits, is a problem meanwhile, and is over with the next one."""
        with mock.patch.object(scrubs, "next_complete", side_effect=StorageError("gone")):
            await self.assertFailure(self.asked(), StorageError)
        self.assertIn(("storage", "scrub"), await self.open_events())
        await self.whole()
        self.assertNotIn(("storage", "scrub"), await self.open_events())

    async def test_limit(self) -> None:
        """It never reads faster than the limit, and imports go on beside it."""
        await self.jammy(BIG)
        await self.succeed()
        await self.restarted(limit_bytes_s=1e6)
        began_s, waiting = self.clock.seconds(), self.asked()
        self.publish(self.product("jammy", {SECOND: {"squashfs": b"new"}}))
        await self.succeed()
        while not waiting.called:
            self.clock.advance(0.25)
        self.assertGreaterEqual(
            self.clock.seconds() - began_s, self.successResultOf(waiting)["checked_bytes"] / 1e6 - 1
        )


class FindTests(ScrubCase):
    async def repaired(self) -> ImportResult:
        """After the import that was asked for, nothing is wrong any more."""
        self.heal()
        result = await self.succeed()
        self.clock.advance(LOOK_REPAIRED_S)
        self.assertEqual(await self.damaged(), [])
        self.assertEqual((await self.whole())["damaged"], 0)
        return result

    async def test_a_flipped_bit(self) -> None:
        """It is found, named, served to nobody, and fetched again from the bad chunk on."""
        await self.jammy(BIG)
        await self.succeed()
        generation = await self.generation()
        place = page_of(self.file, BIG, 2 * CHUNK_BYTES + 200_000) + 1000
        await self.bits_change(lambda: flip(self.file, place))
        self.assertEqual((await self.whole())["damaged"], 1)
        (event,) = (await self.open_events()).values()
        self.assertEqual((event.code, event.object), ("blob-damaged", f"blob {sha256_hex(BIG)}"))
        self.assertIn(f"{KEYS['jammy']} {FIRST} (squashfs)", event.cause)
        self.assertIn(
            "chunk 2 has other bytes than its digest says; found by the scrub", event.cause
        )
        (row,) = await self.region.list_images("all")
        self.assertEqual((row["state"], row["complete_bytes"]), ("damaged", 2 * CHUNK_BYTES))
        self.assertEqual(self.repairs, 1)
        (row,) = await self.region.plan()
        self.assertEqual(
            (row["action"], row["version"], row["fetch_bytes"]),
            ("repair", FIRST, len(BIG) - 2 * CHUNK_BYTES),
        )
        result = await self.repaired()
        self.assertEqual(result.fetched_bytes, len(BIG) - 2 * CHUNK_BYTES)
        self.assertEqual(self.source.headers[ROOT]["range"], f"bytes={2 * CHUNK_BYTES}-")
        self.assertEqual(await self.stored(BIG), BIG)
        self.assertEqual((await self.region.list_images("all"))[0]["state"], "published")
        self.assertEqual(await self.generation(), generation)

    async def test_a_hundred_flipped_bits(self) -> None:
        """Each in another file, anywhere in it: all are found, and all files are right again."""
        chance = random.Random(20261122)
        contents = await self.many_files()
        await self.bits_change(
            *(lambda c=content: flip_somewhere(self.file, c, chance) for content in contents)
        )
        self.assertEqual((await self.whole())["damaged"], len(contents))
        self.assertEqual(len(await self.damaged()), len(contents))
        result = await self.repaired()
        self.assertEqual(result.fetched_bytes, sum(map(len, contents)))
        for content in contents:
            self.assertEqual(await self.stored(content), content)

    async def test_it_is_the_comparison_that_finds_them(self) -> None:
        """Without it the same bits are not found: the test above can fail."""
        await self.jammy(BIG)
        await self.succeed()
        chance = random.Random(1)
        await self.bits_change(lambda: flip_somewhere(self.file, BIG, chance))
        with mock.patch.object(Examination, "is_whole", True):
            self.assertEqual((await self.whole())["damaged"], 0)
        self.assertEqual((await self.whole())["damaged"], 1)

    async def many_files(self) -> list[bytes]:
        """A hundred files of 25 images, all imported."""
        names = ("boot-kernel", "boot-initrd", "squashfs", "root-tgz")
        products, contents = [], []
        for number in range(25):
            items = {}
            for seed, name in enumerate(names):
                content, path = some_bytes(40_000 + 1000 * number, 100 * number + seed), (
                    f"centos{number}/{name}"
                )  # fmt: skip
                self.source.files[path] = content
                contents.append(content)
                items[name] = item(name, path, content)
            products.append(
                product(
                    os="centos", release=f"c{number}", version=f"c{number}", subarch="generic",
                    name=f"com.example:centos:c{number}:amd64", versions={FIRST: items},
                )
            )  # fmt: skip
        self.publish(*products)
        await self.select(Selection("centos", "*", ("amd64",)))
        await self.succeed()
        self.assertEqual(len(await self.published()), 25)
        return contents

    async def test_pages_that_hang_together_wrongly(self) -> None:
        """Where SQLite itself cannot follow a chunk any more, the file is fetched anew."""
        await self.jammy(BIG)
        await self.succeed()
        page = page_of(self.file, BIG, CHUNK_BYTES + 200_000)
        await self.bits_change(lambda: flip(self.file, page, 6))  # the number of the next page
        self.assertEqual((await self.whole())["damaged"], 1)
        (event,) = (await self.open_events()).values()
        self.assertIn("chunk 1 cannot be read", event.cause)
        await self.repaired()
        self.assertEqual(await self.stored(BIG), BIG)

    async def test_what_was_read_wrong_once(self) -> None:
        """Memory and cables err, too: what is right at the second look stays."""
        await self.jammy(BIG)
        await self.succeed()
        real, broken = blobs.read_chunk_row, [True]

        def read_chunk_row(conn: Any, blob_id: int, seq: int) -> blobs.ChunkRow:
            row = real(conn, blob_id, seq)
            if seq == 1 and broken:
                broken.pop()
                return blobs.ChunkRow(b"x" + row.data[1:], row.digest)
            return row

        self.patch(blobs, "read_chunk_row", read_chunk_row)
        self.assertEqual((await self.whole())["damaged"], 0)
        self.assertEqual(broken, [])
        self.assertEqual(await self.damaged(), [])

    async def test_wrong_digests_are_made_anew(self) -> None:
        """The list and what stands beside a chunk; nothing is fetched for that."""
        await self.jammy(BIG)
        await self.succeed()
        held = await self.blob(BIG)
        assert held is not None
        right = await self.database.read(blobs.digest_list, held.sha256)
        assert right is not None
        beside = b"x" + right[33:64]
        token = 1
        with mock.patch.object(scrubs, "_demand_lease"):
            await self.database.write(
                scrubs.correct_digests, held, b"y" + right[1:], {1: beside}, token
            )
        self.assertEqual((await self.whole())["damaged"], 0)
        self.assertEqual(await self.database.read(blobs.digest_list, held.sha256), right)
        row = await self.database.read(blobs.read_chunk_row, held.id, 1)
        self.assertEqual(row.digest, right[32:64])
        self.assertEqual((self.repairs, (await self.run_import()).outcome), (0, "unchanged"))

    async def test_a_signed_document(self) -> None:
        """It is asked for anew, and the mirror shows it again."""
        await self.jammy(BIG)
        await self.succeed()
        index = self.source.files[DOCUMENTS[0]]
        place = self.place_of(index)
        await self.bits_change(lambda: flip(self.file, place))
        self.assertEqual((await self.whole())["damaged"], 1)
        (event,) = (await self.open_events()).values()
        self.assertIn(f"boot-source 1's {DOCUMENTS[0]}", event.cause)
        await self.repaired()
        self.assertEqual(await self.stored(index), index)
        self.assertEqual(self.source.requests[ROOT], 0)

    def place_of(self, content: bytes) -> int:
        """Where a document stands as a blob: from its header line on, as it was sent."""
        stored = self.file.read_bytes()
        return stored.index(content[:200]) + 60

    async def test_a_pinned_image_and_one_that_upstream_replaced(self) -> None:
        """The files of what is held are fetched from where they came, whatever is newer."""
        await self.jammy(BIG)
        await self.succeed()
        await self.pinning.pin((await self.published())["jammy"].id)
        self.publish(self.product("jammy", {
            FIRST: {"squashfs": BIG}, SECOND: {"squashfs": b"newer"}}))  # fmt: skip
        await self.succeed()
        chance = random.Random(2)
        await self.bits_change(lambda: flip_somewhere(self.file, BIG, chance))
        await self.whole()
        await self.repaired()
        self.assertEqual(await self.stored(BIG), BIG)
        self.assertEqual(await self.versions(), {"jammy": FIRST})

    async def test_what_its_source_has_no_more(self) -> None:
        """The import says so by the image's name, and the damage stays a problem until it is let go."""
        await self.jammy(BIG)
        await self.succeed()
        chance = random.Random(3)
        await self.bits_change(lambda: flip_somewhere(self.file, BIG, chance))
        await self.whole()
        del self.source.files[ROOT]
        result = await self.run_import()
        self.assertEqual(result.failed[KEYS["jammy"]].code, "transfer-http-404")
        self.clock.advance(LOOK_REPAIRED_S)
        self.assertEqual(len(await self.damaged()), 1)
        self.publish(self.product("noble"))
        await self.region.delete_image((await self.published())["jammy"].id)
        self.time += 5 * 3600
        await self.run_import()
        self.time += 5 * 3600
        await self.run_import()
        self.clock.advance(LOOK_REPAIRED_S)
        self.assertEqual(await self.damaged(), [])


class UploadTests(AnswerCase):
    """A file that no source has."""

    async def test_an_upload(self) -> None:
        """The remedy is the line that sends it again; it goes on where it broke."""
        content = tar(3 * CHUNK_BYTES)
        name = BlobName(sha256_hex(content), len(content))
        words = {"name": "mine", "architecture": "amd64", "filetype": "ddtar"}
        await self.send(content, name)
        made = await self.ask("boot-resources create", content=str(name), **words)
        held = await self.blob(content)
        assert held is not None
        await self.database.write(flip_first_bit, held, 2)
        found = await self.ask("scrub", flags=("wait",))
        self.assertEqual((found["outcome"], found["damaged"]), ("checked", 1))
        status = await self.ask("status")
        (problem,) = status["problems"]
        self.assertTrue(
            problem["remedy"].endswith(
                "boot-resources create name=mine architecture=amd64/generic filetype=ddtar"
                " content@=FILE"
            ),
            problem["remedy"],
        )
        self.assertEqual((status["scrub"]["damaged"], status["well"]), (1, False))
        self.assertEqual(await self.send(content, name), 2 * CHUNK_BYTES)
        await self.ask("boot-resources create", content=str(name), **words)
        (row,) = await self.ask("boot-resources read")
        self.assertEqual((row["id"], row["state"]), (made["id"], "published"))
        self.assertEqual((await self.ask("scrub", flags=("wait",)))["damaged"], 0)
        self.assertEqual((await self.ask("status"))["problems"], [])

    async def send(self, content: bytes, name: BlobName) -> int:
        """As the shell sends a file; how much of it was held."""
        upload = await self.uploads.open(name.sha256, name.size_bytes)
        assert upload is not None
        held_bytes = upload.held_bytes
        for offset in range(held_bytes, len(content), CHUNK_BYTES):
            await upload.write(offset, content[offset : offset + CHUNK_BYTES])
        await upload.finish()
        await self.uploads.close(upload)
        return held_bytes
