"""Custom images: made, replaced, deleted, and left alone by every import."""

import base64
import gzip
import json
from importlib.util import find_spec
from typing import Any
from unittest import skipUnless

from common.digests import sha256_hex
from common.errors import RackferryError, WrongUsage
from common.images import Image
from common.verbs import BlobName
from common.vocabulary import BY_NAME, Place
from regiond.netplan import MOST_BYTES
from regiond.store import blob_writing, generations, images
from tests.common.test_file_types import SAMPLES, tar
from tests.doubles.answering import AnswerCase
from tests.doubles.golden import golden, shape_of

TGZ = gzip.compress(tar(), mtime=0)
OTHER = gzip.compress(tar(9000), mtime=0)
CREATE = "boot-resources create"


class CustomImageCase(AnswerCase):
    async def hold(self, content: bytes) -> str:
        """Bytes that were sent."""
        await self.database.write(blob_writing.keep_whole, content)
        return str(BlobName(sha256_hex(content), len(content)))

    async def create(self, content: bytes = TGZ, **more: Any) -> dict[str, Any]:
        given = {"name": "my-image", "architecture": "amd64", **more}
        row: dict[str, Any] = await self.ask(CREATE, content=await self.hold(content), **given)
        return row

    async def create_fails(self, code: str, content: bytes = TGZ, **more: Any) -> RackferryError:
        given = {"name": "my-image", "architecture": "amd64", **more}
        return await self.refused(code, CREATE, content=await self.hold(content), **given)

    async def view(self) -> dict[str, str]:
        """What racks are to hold: place and version."""
        _, digest = await self.database.read(generations.current_view, "rack-1")
        document = await self.database.read(generations.read_document, digest)
        assert document is not None
        return {key: each["version"] for key, each in json.loads(document)["images"].items()}


class CreateTests(CustomImageCase):
    async def test_a_custom_image(self) -> None:
        """It is published at once, as MAAS describes it."""
        row = await self.create(title="Ours", base_image="ubuntu/jammy")
        version = row["version"]
        self.assertRegex(version, r"^\d{8}$")
        self.assertEqual(
            {key: row[key] for key in ("type", "name", "architecture", "label", "state", "title",
                                       "base_image", "size_bytes", "complete_bytes")},
            {"type": "uploaded", "name": "custom/my-image", "architecture": "amd64/generic",
             "label": "uploaded", "state": "published", "title": "Ours",
             "base_image": "ubuntu/jammy", "size_bytes": len(TGZ), "complete_bytes": len(TGZ)},
        )  # fmt: skip
        self.assertEqual(await self.view(), {"custom/amd64/generic/my-image/uploaded": version})
        shown = await self.ask("boot-resource read", row["id"])
        (file,) = shown["files"]
        self.assertEqual(
            (file["name"], file["ftype"], file["sha256"]),
            ("root-tgz", "root-tgz", sha256_hex(TGZ)),
        )
        document = await self.database.read(generations.read_document, shown["document_sha256"])
        assert document is not None
        self.assertEqual(Image.from_document(document).title, "Ours")
        self.assertEqual(await self.ask("boot-resources read", type="uploaded"), [
            {key: row[key] for key in row if key not in
             {"base_image", "generation", "message", "warning"}}])  # fmt: skip

    async def test_every_file_type(self) -> None:
        """Each file has the name that MAAS gives it."""
        names = {
            "tgz": "root-tgz", "tbz": "root-tbz", "txz": "root-txz", "ddtgz": "root-dd",
            "ddtar": "root-dd.tar", "ddraw": "root-dd.raw", "ddgz": "root-dd.gz",
            "ddbz2": "root-dd.bz2", "ddxz": "root-dd.xz", "ddtbz": "root-dd.tar.bz2",
            "ddtxz": "root-dd.tar.xz", "self-extracting": "installer.bin",
        }  # fmt: skip
        for filetype, name in names.items():
            row = await self.create(SAMPLES[filetype](), name=f"x-{filetype}", filetype=filetype)
            (file,) = (await self.ask("boot-resource read", row["id"]))["files"]
            self.assertEqual(file["name"], name)

    async def test_each_system_in_its_place(self) -> None:
        """Windows, RHEL, ESXi and our own Linux; the same name for two architectures is two."""
        for name in ("windows/win2016", "rhel/8", "esxi/7.0", "our-linux"):
            await self.create(name=name)
        await self.create(name="our-linux", architecture="arm64/generic")
        self.assertEqual(
            set(await self.view()),
            {
                "windows/amd64/generic/win2016/uploaded",
                "rhel/amd64/generic/8/uploaded",
                "esxi/amd64/generic/7.0/uploaded",
                "custom/amd64/generic/our-linux/uploaded",
                "custom/arm64/generic/our-linux/uploaded",
            },
        )

    async def test_the_same_bytes_are_no_new_version(self) -> None:
        """It is said; another title is a new one, since racks show it."""
        first = await self.create()
        again = await self.create()
        self.assertEqual((again["id"], again["generation"]), (first["id"], first["generation"]))
        self.assertIn("no new version", again["message"])
        titled = await self.create(title="Ours")
        self.assertNotEqual(titled["id"], first["id"])
        self.assertEqual((await self.create())["id"], titled["id"])

    async def test_replacement_keeps_what_the_setting_says(self) -> None:
        """Versions of one day count up; the older one goes, or is kept."""
        first = await self.create()
        second = await self.create(OTHER)
        self.assertEqual(second["version"], f"{first['version']}.1")
        self.assertEqual(set((await self.view()).values()), {second["version"]})
        await self.refused("", "boot-resource pin", first["id"])
        await self.ask("config set", boot_images_versions="2")
        third = await self.create()
        states = {row["version"]: row["state"] for row in await self.ask("boot-resources read")}
        self.assertEqual(states, {second["version"]: "kept", third["version"]: "published"})
        back = await self.ask("boot-resource rollback", third["id"])
        self.assertEqual(back["version"], second["version"])
        await self.create_fails("image-pinned", gzip.compress(tar(77), mtime=0))

    async def test_deleted_and_made_again(self) -> None:
        """It leaves the racks; the next one has a version of its own."""
        first = await self.create()
        await self.ask("boot-resource delete", first["id"])
        self.assertEqual(await self.view(), {})
        again = await self.create(OTHER)
        self.assertEqual(again["version"], f"{first['version']}.1")

    async def test_what_is_refused(self) -> None:
        """Nothing is published, and each has its code."""
        await self.create_fails("custom-name", name="beos/5")
        for reserved in ("ubuntu/jammy", "windows"):  # both are wrong usage
            error = await self.create_fails("custom-reserved", name=reserved)
            self.assertIsInstance(error, WrongUsage)
        await self.create_fails("custom-architecture", architecture="vax")
        await self.create_fails("custom-base-image", base_image="windows/10")
        await self.create_fails("filetype-unknown", filetype="zip")
        await self.create_fails("filetype-content", filetype="ddxz")
        await self.create_fails("filetype-content", b"")
        await self.refused("missing-parameter", CREATE, name="x", architecture="amd64")
        await self.refused("wrong-value", CREATE, name="x", architecture="amd64", content="x")
        unsent = str(BlobName("0" * 64, 5))
        await self.refused("upload-incomplete", CREATE, name="x", architecture="amd64",
                           content=unsent)  # fmt: skip
        self.assertEqual(await self.ask("boot-resources read"), [])

    async def test_a_check_changes_nothing(self) -> None:
        """It says what is wrong with the name before there are any bytes."""
        given = {"architecture": "amd64"}
        row = await self.ask(CREATE, name="x", flags=("check",), **given)
        self.assertEqual((row["name"], row["architecture"]), ("custom/x", "amd64/generic"))
        await self.refused("custom-reserved", CREATE, name="windows", flags=("check",), **given)
        self.assertEqual(await self.ask("boot-resources read"), [])

    async def test_what_sources_offer_is_reserved(self) -> None:
        """By what they said last, and by what is held of them; never by asking them now."""
        await self.create(name="jammy-of-ours")
        asked = len(self.source.requests)
        await self.create(name="jammy")
        self.assertEqual(len(self.source.requests), asked)
        await self.jammy(b"kernel")
        await self.succeed()
        await self.create_fails("custom-reserved", name="jammy")

    async def test_a_base_image_that_is_not_there(self) -> None:
        """It is made all the same, with a word of warning; also by a check, before it is sent."""
        given = {"architecture": "amd64", "name": "x", "base_image": "ubuntu/jammy"}
        checked = await self.ask(CREATE, flags=("check",), **given)
        self.assertIn("neither held here nor offered", checked["warning"])
        made = await self.create(base_image="ubuntu/jammy")
        self.assertEqual(made["warning"], checked["warning"])
        await self.jammy(b"kernel")
        await self.succeed()
        self.assertNotIn("warning", await self.create(base_image="ubuntu/jammy"))
        typo = await self.create(base_image="ubuntu/jamy")
        self.assertIn('did you mean "ubuntu/jammy"?', typo["warning"])


class ImportTests(CustomImageCase):
    """Imports and uploads beside each other."""

    async def test_no_import_takes_an_upload_away(self) -> None:
        """Not when sources change, are empty or deleted, nor by cleaning up."""
        row = await self.create()
        await self.jammy(b"kernel")
        await self.succeed()
        self.assertEqual(len(await self.view()), 2)
        await self.ask("boot-source delete", 1)
        self.time += 30 * 24 * 3600.0
        await self.succeed()
        self.time += 30 * 24 * 3600.0
        await self.succeed()
        self.assertEqual(list(await self.view()), ["custom/amd64/generic/my-image/uploaded"])
        found = await self.database.read(images.image_details, row["id"])
        self.assertEqual(found.complete_bytes, len(TGZ))
        self.assertEqual(await self.ask("boot-resources plan"), [])


NETPLAN = b"""
network:
  version: 2
  ethernets:
    eth0: {addresses: [10.0.0.5/24, 10.0.0.6/24], gateway4: 10.0.0.1}
"""


@skipUnless(find_spec("yaml"), "PyYAML is not installed")
class NetworkTests(CustomImageCase):
    """ESXi images, and what their deployment does to the network."""

    async def check(self, image_id: int, config: bytes = NETPLAN) -> Any:
        text = base64.b64encode(config).decode()
        return await self.ask("boot-resource check-network", image_id, config=text)

    async def test_what_a_deployment_does(self) -> None:
        """One row for each interface, with all columns."""
        for name in ("esxi/7.0", "esxi-of-ours"):
            row = await self.create(name=name)
            (step,) = await self.check(row["id"])
            verb = BY_NAME["boot-resource", "check-network"]
            self.assertLessEqual(set(verb.columns), set(step))
            self.assertEqual(shape_of([step]), shape_of(golden(Place.REGION, verb)))
            self.assertEqual(step["message"], "a NIC, 10.0.0.5/24, aliases 10.0.0.6/24")

    async def test_what_it_does_not(self) -> None:
        """It is refused by name; so is whatever is no netplan."""
        row = await self.create(name="esxi/7.0")
        for code, config in (
            ("esxi-network", b"network: {ethernets: {e: {}}, bridges: {br0: {}}}"),
            ("esxi-network", b"- a list"),
            ("netplan-malformed", b"a: [b"),
            ("netplan-malformed", b"network: {ethernets: {e: {}, e: {dhcp4: true}}}"),
            ("netplan-malformed", b"[" * 20000),
            ("netplan-malformed", b"#" * (MOST_BYTES + 1)),
            ("netplan-malformed", b"!!python/object/apply:os.system [true]"),
        ):
            text = base64.b64encode(config).decode()
            await self.refused(code, "boot-resource check-network", row["id"], config=text)

    async def test_only_esxi(self) -> None:
        """Other images have no such limits, and it is said."""
        row = await self.create()
        text = base64.b64encode(NETPLAN).decode()
        await self.refused("esxi-other", "boot-resource check-network", row["id"], config=text)
        await self.refused("image-unknown", "boot-resource check-network", 77, config=text)
