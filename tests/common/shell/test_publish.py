"""Publishing into a signed tree."""

import hashlib
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from common.durable import lock_directory
from common.errors import ConfigError, Conflict, RackferryError, StorageError, WrongUsage
from common.images import Selection
from common.shell import publish
from common.shell.publish import publish_source
from regiond.sources.catalogue import Offer, catalogue
from regiond.sources.locations import SourceLocation
from regiond.sources.matching import select
from regiond.sources.readings import StoredDocument, read_stored
from regiond.sources.signatures import verify
from tests.doubles.gpg_keys import fingerprint, gnupg_home, public_keys

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class PublishTests(SynchronousTestCase):
    """``publish_source``"""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="publish-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.out = self.directory / "out"
        self.kernel = self.file("vmlinuz", b"kernel")
        self.initrd = self.file("initrd", b"initrd")

    def file(self, name: str, content: bytes) -> str:
        path = self.directory / name
        path.write_bytes(content)
        return str(path)

    def publish(self, files: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
        now = changes.pop("now", NOW)
        usual = {
            "key": fingerprint("ed25519"),
            "gnupg_home": str(gnupg_home()),
            "os": "ubuntu",
            "release": "jammy",
            "arch": "amd64",
            "subarch": "ga-22.04",
            "version": "20261121",
        }
        chosen = {"boot-kernel": self.kernel, "boot-initrd": self.initrd}
        return publish_source(self.out, usual | changes, files or chosen, now=now)

    def refusal(self, files: dict[str, str] | None = None, **changes: Any) -> RackferryError:
        return self.assertRaises(RackferryError, self.publish, files, **changes)

    def offers(self, suffix: str = "sjson") -> tuple[Offer, ...]:
        """What a region would read from the tree, signatures and all."""
        keyring = public_keys("ed25519")
        stored = {}
        for path in (self.out / "streams/v1").glob(f"*.{suffix}"):
            name = f"streams/v1/{path.name}"
            payload = path.read_bytes()
            if suffix == "sjson":
                payload = verify(payload, keyring, name=name, now=NOW.timestamp()).payload
            stored[name] = StoredDocument(name, "", payload)
        location = SourceLocation.parse("http://h/", unsigned=suffix == "json")
        found = catalogue(read_stored(location, stored))
        self.assertEqual(found.ignored, ())
        return found.newest

    def tree(self) -> dict[str, tuple[bytes, int]]:
        """Every file with its content and time."""
        return {
            str(path.relative_to(self.out)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in self.out.rglob("*")
            if path.is_file() and path.name != ".lock"
        }

    def test_round_trip(self) -> None:
        """What is published is what a region reads, byte for byte, signed and plain alike."""
        self.publish()
        for suffix in ("sjson", "json"):
            [offer] = self.offers(suffix)
            self.assertEqual(str(offer.key), "ubuntu/amd64/ga-22.04/jammy/stable")
            self.assertEqual(offer.version, "20261121")
            for file in offer.files:
                content = (self.out / file.upstream_path).read_bytes()
                self.assertEqual(hashlib.sha256(content).hexdigest(), file.sha256)
                self.assertEqual(len(content), file.size_bytes)

    def test_answer(self) -> None:
        """The answer names product, version and size, and MAAS's word is in the product."""
        answer = self.publish()
        self.assertEqual(answer["product"], "com.rackferry.stable:v3:boot:jammy:amd64:ga-22.04")
        self.assertEqual((answer["size_bytes"], answer["changed"]), (12, True))

    def test_generic(self) -> None:
        """A GA kernel that was published is found as generic."""
        self.publish()
        wanted = Selection("ubuntu", "jammy", ("amd64",), ("generic",))
        self.assertEqual(len(select((wanted,), self.offers(), NOW.date())), 1)

    def test_again(self) -> None:
        """Publishing the same again changes nothing, not even a time of a file."""
        self.publish()
        before = self.tree()
        self.assertFalse(self.publish(now=NOW + timedelta(days=1))["changed"])
        self.assertEqual(self.tree(), before)

    def test_more(self) -> None:
        """Other versions, architectures, systems and labels stand side by side."""
        self.publish()
        self.publish(version="20261122")
        self.publish(arch="arm64")
        self.publish(os="debian", release="trixie", subarch="generic")
        self.publish(label="candidate")
        keys = {(str(offer.key), name) for offer in self.offers() for name in offer.versions}
        self.assertEqual(len(keys), 5)
        self.assertIn(("debian/amd64/generic/trixie/stable", "20261121"), keys)
        paths = [file.upstream_path for offer in self.offers() for file in offer.files]
        self.assertEqual(len(paths), len(set(paths)))

    def test_other_bytes(self) -> None:
        """A published version never changes its bytes."""
        self.publish()
        before = self.tree()
        other = self.file("other", b"other")
        error = self.refusal({"boot-kernel": other, "boot-initrd": self.initrd})
        self.assertIsInstance(error, Conflict)
        self.assertEqual(error.code, "publish-version-exists")
        self.assertIsInstance(self.refusal({"boot-kernel": self.kernel}), Conflict)
        self.assertEqual(self.tree(), before)

    def test_interrupted(self) -> None:
        """Interrupted at any write, the tree still verifies, and publishing again completes it."""
        self.publish()
        writes = 0
        real = publish.write_durably

        def until(path: Path, content: Any, *rest: Any) -> None:
            nonlocal writes
            if writes == 0:
                raise StorageError("power cut")
            writes -= 1
            real(path, content, *rest)

        for count in range(6):
            version, later = f"2027010{count}", NOW + timedelta(minutes=count + 1)
            writes = count
            with mock.patch.object(publish, "write_durably", until):
                self.assertRaises(StorageError, self.publish, version=version, now=later)
            self.offers()
            self.assertTrue(self.publish(version=version, now=later)["changed"])
            self.assertIn(version, [offer.version for offer in self.offers()])
            self.assertIn(version, [offer.version for offer in self.offers("json")])

    def test_missing_file(self) -> None:
        """A file that went missing from the tree is put back."""
        self.publish()
        before = self.tree()
        lost = self.out / self.offers()[0].files[0].upstream_path
        lost.unlink()
        self.assertTrue(self.publish()["changed"])
        self.assertEqual(
            {path: was[0] for path, was in self.tree().items()},
            {path: was[0] for path, was in before.items()},
        )

    def test_dates(self) -> None:
        """The date of the documents never goes back, whatever the clock says."""
        self.publish()
        self.publish(version="20261122", now=NOW - timedelta(days=1))
        document = (self.out / "streams/v1/index.json").read_text()
        self.assertEqual(document.count("Sat, 21 Nov 2026 12:00:00 +0000"), 2)

    def test_readable(self) -> None:
        """Documents and files can be read by any web server."""
        self.publish()
        modes = {path.stat().st_mode & 0o777 for path in self.out.rglob("boot-*")}
        modes |= {path.stat().st_mode & 0o777 for path in self.out.rglob("*json")}
        self.assertEqual(modes, {0o644})

    def test_wrong_usage(self) -> None:
        """What cannot be published is refused by name before anything is written."""
        for changes in (
            {"os": "a/b"},
            {"os": ""},
            {"version": ".."},
            {"version": ""},
            {"release": "streams", "os": "ubuntu"},
            {"key": ""},
        ):
            self.assertIsInstance(self.refusal(**changes), WrongUsage, changes)
        self.assertIn("boot-kernel", self.refusal({"boot-kernle": self.kernel}).remedy)
        self.assertIsInstance(self.refusal({"boot-kernel": "/nonexistent"}), WrongUsage)
        self.assertIsInstance(self.refusal({"boot-kernel": str(self.directory)}), WrongUsage)
        self.assertEqual(list(self.out.rglob("boot-*")), [])

    def test_keys(self) -> None:
        """A key that cannot sign is named, another is never used for it, nothing is written."""
        public_keys("rsa")
        for key in ("F" * 40, fingerprint("expired")):
            error = self.refusal(key=key)
            self.assertEqual((error.code, error.object), ("publish-signing", f"key={key}"))
        self.assertIsInstance(self.refusal(gnupg_home="/nonexistent"), ConfigError)
        self.assertEqual(self.tree(), {})

    def test_locked(self) -> None:
        """Two publishers do not write one tree at once."""
        self.publish()
        lock = lock_directory(self.out / "streams")
        self.addCleanup(lock.release)
        self.assertEqual(self.refusal(version="2").code, "locked")

    def test_damaged(self) -> None:
        """A tree whose documents cannot be read is left alone."""
        self.publish()
        (self.out / "streams/v1/index.json").write_text("[")
        self.assertIsInstance(self.refusal(version="2"), StorageError)

    def test_changing_file(self) -> None:
        """A file that changes while it is read is refused."""
        pieces = iter([b"one", b"two"])
        self.patch(publish, "_pieces", lambda _: iter([next(pieces)]))
        error = self.refusal({"boot-kernel": self.kernel})
        self.assertEqual(error.code, "integrity")
