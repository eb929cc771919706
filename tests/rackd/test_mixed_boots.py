"""No machine boots one generation's kernel with another's initrd: over real connections."""

import re
import tempfile
from pathlib import Path

import treq
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool

from common.images import Image
from rackd.library import Library
from rackd.machines import Machines, MachinesSite
from rackd.menus import MenuSettings
from rackd.pins import IDLE_S
from rackd.planning import lay_out
from rackd.records import Record
from rackd.tree import grow
from tests.doubles.disks import at_once
from tests.doubles.images import file_of, image_of

NOW_S = 1_795_295_000.0
KEY = "ubuntu/amd64/ga-22.04/jammy/stable"
PARTS = ("boot-kernel", "boot-initrd", "squashfs")


class Machine:
    """A machine with an address of its own."""

    def __init__(self, port: int, address: str) -> None:
        self.pool = HTTPConnectionPool(reactor, persistent=False)
        self._agent = Agent(reactor, pool=self.pool, bindAddress=(address, 0))
        self._base = f"http://127.0.0.1:{port}"

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        response = await treq.get(self._base + path, agent=self._agent)
        return response.code, (await treq.content(response)).decode()

    async def image(self, name: str) -> str:
        """A file of the image, by MAAS's path."""
        return (await self.get(f"/images/{KEY}/{name}"))[1]


class MixedBootTests(TestCase):
    """Two machines and a flip between their requests."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.library = Library(Path(directory.name) / "images", on_disk=at_once, on_sync=at_once)
        self.library.open()
        self.addCleanup(self.library.close)
        self.clock = Clock()
        self.clock.advance(NOW_S)
        site = MachinesSite(Machines(self.library, self.clock, at_once), reactor)
        port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number = port.getHost().port
        self.one, self.other = Machine(number, "127.0.0.1"), Machine(number, "127.0.0.2")
        for machine in (self.one, self.other):
            self.addCleanup(machine.pool.closeCachedConnections)
        self.show(1)

    def show(self, generation: int) -> None:
        """A generation in which every file of the image says which one it is."""
        blobs = {part: f"{part} of {generation}".encode() for part in PARTS}
        image: Image = image_of(KEY, *(file_of(part, blob) for part, blob in blobs.items()))
        tree = grow(lay_out([image]), [image], {}, MenuSettings(), generation)
        self.library.keep((*blobs.values(), *tree.made))
        record = Record(generation, f"{generation:064x}", (), tree.files, tree.links)
        self.library.publish(record, self.clock.seconds())
        self.clock.advance(1)

    async def test_flip_between_kernel_and_initrd(self) -> None:
        """Who fetched the old kernel gets the old initrd and squashfs; the next machine the new."""
        self.assertEqual(await self.one.image("boot-kernel"), "boot-kernel of 1")
        self.show(2)
        self.assertEqual(await self.other.image("boot-kernel"), "boot-kernel of 2")
        for part in PARTS[1:]:
            self.assertEqual(await self.one.image(part), f"{part} of 1")
            self.assertEqual(await self.other.image(part), f"{part} of 2")
        self.clock.advance(IDLE_S)
        self.assertEqual(await self.one.image("boot-kernel"), "boot-kernel of 2")

    async def test_boot_ipxe(self) -> None:
        """The menu is always the current one, and every path that it names stays as it was."""
        self.assertEqual(await self.one.image("boot-kernel"), "boot-kernel of 1")
        _, before = await self.one.get("/images/boot.ipxe")
        self.show(2)
        named = re.findall(r"(/generations/1/\S+)", before)
        self.assertEqual(len(named), 3)
        for path, part in zip(named, ("boot-kernel", "squashfs", "boot-initrd"), strict=True):
            self.assertEqual(await self.one.get(path), (200, f"{part} of 1"))
        _, after = await self.one.get("/images/boot.ipxe")
        self.assertIn("/generations/2/", after)
        self.assertEqual(await self.one.image("boot-initrd"), "boot-initrd of 2")

    async def test_generations(self) -> None:
        """A generation is served by number for as long as it is on the disk, and pins nobody."""
        self.show(2)
        path = f"/generations/1/{KEY}/boot-kernel"
        self.assertEqual(await self.one.get(path), (200, "boot-kernel of 1"))
        self.assertEqual(await self.one.image("boot-kernel"), "boot-kernel of 2")
        self.assertIn("boot-kernel", (await self.one.get(f"/generations/1/{KEY}/"))[1])
        self.assertEqual((await self.one.get(f"/generations/3/{KEY}/boot-kernel"))[0], 404)

    async def test_repaired(self) -> None:
        """A generation that was built twice is the newest of the two; the client sees one."""
        self.show(1)
        self.assertEqual(len(list(self.library.images_dir.glob("snapshot-*-g1"))), 2)
        self.assertEqual(
            await self.one.get(f"/generations/1/{KEY}/squashfs"), (200, "squashfs of 1")
        )

    async def test_deleted(self) -> None:
        """Who is on a snapshot that somebody deleted by hand goes on with the current one."""
        await self.one.image("boot-kernel")
        self.show(2)
        old = min(self.library.images_dir.glob("snapshot-*"))
        old.rename(old.parent.parent / "elsewhere")
        self.assertEqual(await self.one.image("boot-initrd"), "boot-initrd of 2")

    async def test_damage_of_an_old_generation(self) -> None:
        """Damage that the current tree does not have is no reason to sync."""
        await self.one.image("boot-kernel")
        self.show(2)
        old = self.library.record(min(p.name for p in self.library.images_dir.glob("snapshot-*")))
        (self.library.cache / old.shown[f"{KEY}/squashfs"].sha256).unlink()
        self.assertEqual((await self.one.get(f"/images/{KEY}/squashfs"))[0], 500)
        self.assertNotEqual(self.library.held_view, "")
