"""A region starts on a damaged database, serves what verifies, and says what is wrong."""

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from common.digests import sha256_hex
from common.errors import RackferryError
from common.events import Event, Severity
from regiond import tap
from regiond.store import blob_writing, blobs, events, settings
from regiond.store.database import Database
from tests.doubles.bit_flips import PAGE_BYTES, flip, flip_somewhere
from tests.doubles.stores import finished
from tests.doubles.streams import some_bytes
from tests.regiond.test_tap import DaemonCase

CONTENTS = [some_bytes(150_000, seed) for seed in range(5)]


class DamagedStartTests(DaemonCase):
    """The database has a few blobs, an event and a setting."""

    timeout = 120

    def prepare(self) -> None:
        super().prepare()
        self.file = self.directory / "regiond.db"
        self.sound = self.directory / "sound.db"
        database = Database(self.database_url, None)
        finished(database.open())
        for content in CONTENTS:
            finished(database.write(blob_writing.keep_whole, content))
        event = Event("no-space", Severity.ERROR, "import", "full")
        finished(database.write(events.raise_event, event, 1.0))
        finished(database.write(settings.put, "racks_rate_limit", "1 Gbit/s", 1.0))
        finished(database.close())
        shutil.copy(self.file, self.sound)
        with closing(sqlite3.connect(self.file)) as connection:
            self.roots = dict(connection.execute(
                "SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0").fetchall())  # fmt: skip

    def damage(self, name: str, *offsets: int) -> None:
        """The file is as it was, but for bits of the page of a table or index."""
        shutil.copy(self.sound, self.file)
        for place in self.file.parent.glob("regiond.db-*"):
            place.unlink()
        # As after a power cut: then it is looked at.
        Path(f"{self.file}-wal").write_bytes(b"\0" * 32)
        for offset in offsets:
            flip(self.file, (self.roots[name] - 1) * PAGE_BYTES + offset, 3)

    async def served(self, daemon: tap.RegionDaemon) -> int:
        """How many blobs can be had; each is right."""
        count = 0
        for content in CONTENTS:
            try:
                found = await daemon.database.read(blobs.find_complete, sha256_hex(content))
                if found is not None:
                    self.assertEqual(await daemon.database.read_chunk(found.id, 0), content)
                    count += 1
            except RackferryError as error:
                self.assertEqual(error.code, "database-damaged")
        return count

    async def test_wherever_it_is_damaged(self) -> None:
        """In the page of any table or index: it starts, or ends in one line that says what to do."""
        chance = random.Random(7)
        started = 0
        names = chance.sample(sorted(self.roots.keys() - {"chunk"}), 10)
        for name in names:
            used = chance.randrange(PAGE_BYTES - 400, PAGE_BYTES)
            self.damage(name, chance.randrange(12), used)
            try:
                daemon = await self.start()
            except SystemExit as refused:
                line = str(refused)
                self.assertTrue(line.startswith(f"regiond: {self.file}: "), line)
                self.assertIn("put back a copy of it", line)
                self.assertNotIn("\n", line)
                continue
            started += 1
            if name not in {"blob", "uq_blob_sha256", "ix_blob_state"}:
                self.assertEqual(await self.served(daemon), len(CONTENTS), name)
            await self.stop(daemon)
        self.assertGreater(started, len(names) / 2)

    async def test_a_damaged_chunk_costs_its_blob(self) -> None:
        """The start notices nothing; a scrub does, and then nobody is served it."""
        self.damage("setting")
        flip_somewhere(self.file, CONTENTS[0], random.Random(1))
        daemon = await self.start()
        self.assertEqual((await daemon.importing.scrub.wait())["damaged"], 1)
        self.assertEqual(await self.served(daemon), len(CONTENTS) - 1)

    async def test_a_damaged_table_is_said(self) -> None:
        """With what to do about it; everything else goes on."""
        self.damage("rack", 3)
        daemon = await self.start()
        rows = await daemon.cases.region.list_events(
            Severity.ERROR, cleared=False, code="database-damaged"
        )
        self.assertIn("rack: ", rows[0]["cause"])
        self.assertIn("put back a copy", rows[0]["remedy"])
        self.assertEqual(await self.served(daemon), len(CONTENTS))

    async def test_a_damaged_index_is_made_anew(self) -> None:
        """By the scrub, from its table; then it is no problem any more."""
        self.damage("uq_event_open", PAGE_BYTES - 3)
        daemon = await self.start()
        await daemon.importing.scrub.wait()
        self.assertEqual(daemon.database.problems, ())
        rows = await daemon.cases.region.list_events(Severity.ERROR, cleared=False)
        self.assertEqual([row["code"] for row in rows], ["no-space"])
        self.assertFalse(
            await daemon.database.write(
                events.raise_event, Event("no-space", Severity.ERROR, "import", "full"), 2.0
            )
        )

    def test_a_destroyed_header(self) -> None:
        """What cannot be opened says so in one line, with what to do, and is left as it is."""
        for destroyed in (100, 16, 1):
            self.damage("setting")
            with self.file.open("r+b") as opened:
                opened.write(b"\xa5" * destroyed)
            before = self.file.read_bytes()
            daemon = self.make()
            with self.assertRaises(SystemExit) as refused:
                daemon.startService()
            line = str(refused.exception)
            self.assertTrue(line.startswith(f"regiond: {self.file}: the database is damaged"), line)
            self.assertIn("put back a copy of it, or move it away", line)
            self.assertNotIn("\n", line)
            self.assertEqual(self.file.read_bytes(), before)
