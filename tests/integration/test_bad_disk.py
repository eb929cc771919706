"""Disks of racks that are full, shut, strange or visited by others."""

import os
import random
import re
from pathlib import Path

from common.digests import sha256_hex
from tests.integration.bad_input import GOOD_SHA256, StartCase, request


class DiskCase(StartCase):
    """Tests with the disk of rack-1."""

    async def publish(self, release: str, content: bytes) -> str:
        """One more image in the source and in the region; its blob's name."""
        path = self.site.directory / f"{release}-kernel"
        path.write_bytes(content)
        product = {"os": "demo", "release": release, "arch": "amd64", "version": "1"}
        self.site.publish(product, {"boot-kernel": path})
        await self.ask("boot-resources import wait")
        return sha256_hex(content)

    def assert_served(self, release: str, sha256: str) -> None:
        """Machines get every byte of that image from the rack."""
        request(self.site.ports.machines, "/images/boot.ipxe")  # so begins a boot
        (path,) = [name for name in self.site.image_files() if f"/{release}/" in name]
        reply = request(self.site.ports.machines, f"/images/{path}")
        self.assertEqual((reply.status, sha256_hex(reply.body)), (200, sha256))


class PlantedTests(DiskCase):
    """Things in the rack's directories that it did not put there."""

    async def test_foreign_things_are_put_aside_by_name(self) -> None:
        """Files and links that somebody planted are moved and named; nothing is written through."""
        await self.synced()
        victim = self.site.directory / "victim"
        victim.write_bytes(b"not yours")
        content = random.Random(3).randbytes(2_500_000)
        blob = sha256_hex(content)
        images = self.site.images_dir
        planted = {
            images / "cache" / "readme.txt": None,
            images / "cache" / ("0" * 64): victim,
            images / "partial" / f"{blob}.part": victim,
            images / "partial" / "x.part": None,
            images / "snapshot-20260101-000000-g7": victim.parent,
        }
        for path, target in planted.items():
            if target is None:
                path.write_bytes(b"hello")
            else:
                path.symlink_to(target)
        await self.publish("planted", content)
        await self.ask("boot-resources import wait", rack=True)
        await self.assert_put_aside(*planted)
        self.assertEqual(victim.read_bytes(), b"not yours")
        self.assert_served("planted", blob)
        self.assert_served("good", GOOD_SHA256)

        current = self.site.current
        assert current is not None
        intruder = current / "demo" / "intruder"
        intruder.write_bytes(b"hello")
        self.site.rack.restart()
        await self.synced()
        await self.assert_put_aside(intruder)
        self.assert_served("planted", blob)
        await self.assert_unharmed()

    async def assert_put_aside(self, *planted: Path) -> None:
        events = await self.ask("events read", rack=True)
        found = {each["object"]: each for each in events if each["code"] == "foreign-file"}
        for path in planted:
            self.assertFalse(os.path.lexists(path), path)
            event = found[str(path)]
            self.assert_clear(event["object"], event["cause"], event["remedy"])
            now = Path(event["cause"].rpartition("moved to ")[2])
            self.assertEqual(now.parent, self.site.images_dir / "aside")
            self.assertTrue(os.path.lexists(now), event["cause"])


class RottenTests(DiskCase):
    """Bits that change on the rack's disk behind everybody's back."""

    def flip(self) -> None:
        """One bit of the good image's kernel changes."""
        blob = self.site.images_dir / "cache" / GOOD_SHA256
        blob.chmod(0o644)
        with blob.open("r+b") as opened:
            opened.seek(1_234_567)
            (found,) = opened.read(1)
            opened.seek(1_234_567)
            opened.write(bytes([found ^ 16]))

    async def assert_repaired(self) -> None:
        await self.synced()
        await self.ask("boot-resources import wait", rack=True)
        self.assert_served("good", GOOD_SHA256)
        open_events = await self.ask("status", rack=True)
        self.assertEqual(open_events["problems"], [])
        await self.assert_unharmed()

    async def test_the_scrub_finds_and_repairs(self) -> None:
        """A scrub names the file, and machines get the right bytes again."""
        await self.synced()
        self.flip()
        found = await self.ask("scrub wait", rack=True)
        self.assertGreaterEqual(found["damaged"], 1)
        events = await self.ask("events read all", rack=True)
        event = next(each for each in events if "by the scrub" in each["cause"])
        self.assertEqual(event["code"], "blob-damaged")
        self.assertIn(GOOD_SHA256, event["object"])
        self.assertIn("/good/", event["cause"])
        self.assert_clear(event["object"], event["cause"], event["remedy"])
        await self.assert_repaired()
        self.assertEqual((await self.ask("scrub wait", rack=True))["damaged"], 0)

    async def test_a_rotten_kernel_is_never_served(self) -> None:
        """After a start of the machine a kernel is read before it is served: 503, then repaired."""
        await self.synced()
        self.site.rack.stop()
        (self.site.directory / "rack" / "verified").unlink(missing_ok=True)  # as another boot id
        self.flip()
        self.site.rack.start()
        path = min(name for name in self.site.held_files() if "/good/" in name)
        reply = request(self.site.ports.machines, f"/images/{path}")
        if reply.status != 503:  # repaired already, or never served wrong
            self.assertEqual((reply.status, sha256_hex(reply.body)), (200, GOOD_SHA256))
        await self.assert_repaired()


class FullTests(DiskCase):
    """A small file system in memory as the rack's disk."""

    async def test_a_full_disk_pauses_and_goes_on(self) -> None:
        """What is missing is said, here and at the region; what is held is served; it goes on."""
        site = self.site
        images = site.images_dir
        site.rack.stop()
        site.images_dir = site.directory / "small-disk"
        self.addCleanup(self.give_back, images)
        self.mount(site.images_dir, "size=20m")
        site.write_rack_config()
        site.rack.start()
        await self.synced()
        big = await self.publish("big", random.Random(4).randbytes(30_000_000))
        error = await self.refused("boot-resources import wait", "no-space", rack=True)
        self.assertEqual(error.object, str(site.images_dir))
        self.assertRegex(error.message, r"^[1-9]\d* more bytes are needed")
        await self.event("no-space", str(site.images_dir), rack=True)
        event = await self.event("no-space", "rack rack-1")
        self.assertIn(str(site.images_dir), event["cause"])
        self.assert_served("good", GOOD_SHA256)

        self.mount(site.images_dir, "remount,size=100m")
        await self.ask("boot-resources import wait", rack=True)
        self.assert_served("big", big)
        open_events = await self.ask("events read level=warning")
        self.assertEqual([each for each in open_events if each["code"] == "no-space"], [])

        await self.assert_unharmed()

    def give_back(self, images: Path) -> None:
        self.site.rack.stop()
        self.site.images_dir = images
        self.site.write_rack_config()
        self.site.rack.start()


class ShutTests(DiskCase):
    """A directory that stops being writable while the rack runs."""

    async def test_a_directory_that_was_shut_is_named(self) -> None:
        """The sync fails with the path and what to do, what is held is served, and it goes on."""
        self.addCleanup(setattr, self.site.rack, "argv", list(self.site.rack.argv))
        self.bound_by_modes(self.site.rack)
        self.site.rack.restart()
        await self.synced()
        partial = self.site.images_dir / "partial"
        partial.chmod(0o500)
        self.addCleanup(partial.chmod, 0o755)
        more = await self.publish("more", b"one more kernel")
        error = await self.refused("boot-resources import wait", "storage", rack=True)
        # One file, or several at once: the image's, and the documents that name it.
        self.assertIn(f"{partial}/", f"{error.object}: {error.message}")
        self.assertIn("Permission denied", error.message)
        self.assertIn("write permission", error.remedy)
        await self.event("storage", error.object, rack=True)
        self.assert_served("good", GOOD_SHA256)
        partial.chmod(0o755)
        await self.ask("boot-resources import wait", rack=True)
        self.assert_served("more", more)
        await self.assert_unharmed()


class StartTests(DiskCase):
    """Disks on which a rack does not start at all."""

    async def test_directories_that_cannot_be_written_are_named(self) -> None:
        """Images or state without write permission: one line, exit code 1, nothing changed."""
        for key in ("images_dir", "state_dir"):
            site = self.other()
            self.bound_by_modes(site.rack)
            shut = self.make(site.directory / "shut", 0o500)
            site.write_rack_config()
            told = site.rack_config.read_text()
            inside = shut / "inside"
            site.rack_config.write_text(re.sub(rf'{key} = ".*"', f'{key} = "{inside}"', told))
            line = self.last_words(site.rack)
            self.assertIn(f"rackd: {inside}: cannot make the directory: Permission denied", line)
            self.assertIn("write permission", line)
            self.assertEqual(list(shut.iterdir()), [])
        await self.assert_unharmed()

    async def test_a_disk_in_use_by_another_rackd(self) -> None:
        """The second rackd names the directory and the process; the first serves on."""
        await self.synced()
        site = self.other()
        site.images_dir = self.site.images_dir
        site.write_rack_config()
        line = self.last_words(site.rack)
        self.assertIn(str(self.site.images_dir), line)
        self.assertIn(f"is in use by process {self.site.rack.pid}", line)
        self.assert_served("good", GOOD_SHA256)

    async def test_no_hard_links_between_cache_and_tree(self) -> None:
        """Two file systems have no hard links in common: refused, with the file system's name."""
        site = self.other()
        site.write_rack_config()
        self.mount(site.images_dir / "cache", "size=1m")
        line = self.last_words(site.rack)
        self.assertIn(f"rackd: {site.images_dir}: its file system has no hard links: tmpfs", line)
        self.assertIn("put images_dir on one file system", line)
        await self.assert_unharmed()
