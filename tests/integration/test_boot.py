"""A machine boots what came all the way: signed source, region, rack, network, kernel.

Real daemons, the real Debian installer, real boot loaders, and a machine under QEMU. Only
the serial port and the wire are read.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.integration.boot_stream import DIRECTORY, NEXT_VERSION, Loader, write_boot_stream
from tests.integration.netboot import NotToBeHad, installer_images, pxelinux_files, uefi_files
from tests.integration.processes import ROOT
from tests.integration.site import Site
from tests.integration.virtual_machine import (
    HOST,
    NoMachine,
    VirtualMachine,
    accelerator,
    require_qemu,
)

CACHE = ROOT / "build" / "netboot"
KERNEL, INITRD = f"{DIRECTORY}/boot-kernel", f"{DIRECTORY}/boot-initrd"
BOOTED = (rb"Linux version \d", rb"Run /init as init process")
BOOT_LIMIT_S = 400.0  # software emulation on a machine that does other things, too


@pytest.mark.slow
@pytest.mark.boot
@pytest.mark.timeout(600)
class BootTests(SynchronousTestCase):
    """One site for all; each test boots a machine of its own from its rack."""

    directory: ClassVar["tempfile.TemporaryDirectory[str]"]
    site: ClassVar[Site]
    images: ClassVar[dict[str, Path]]
    loaders: ClassVar[tuple[Loader, ...]]
    firmware: ClassVar[Path]
    accel: ClassVar[str]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        try:
            require_qemu()
            cls.images = installer_images(CACHE)["text"]
            pxelinux = pxelinux_files(CACHE)
            uefi, cls.firmware = uefi_files(CACHE)
        except (NoMachine, NotToBeHad) as error:
            raise SkipTest(f"no machine boots here: {error}") from error
        cls.accel = accelerator(cls.images["boot-kernel"])
        cls.directory = tempfile.TemporaryDirectory(prefix="rackferry-")
        cls.addClassCleanup(cls.directory.cleanup)
        cls.site = Site(Path(cls.directory.name))
        cls.addClassCleanup(cls.site.close)
        cls.loaders = (
            Loader("pxe", "pxelinux", "i386", pxelinux),
            Loader("uefi", "grub-efi-signed", "amd64", uefi),
        )
        write_boot_stream(cls.site.tree, cls.site.key, cls.images, cls.loaders)
        cls.hold_all()

    @classmethod
    def hold_all(cls) -> None:
        """Source, region, rack: until the rack holds everything."""
        site = cls.site
        site.region.start()
        source = site.create_source()
        words = ("os=debian", "release=bookworm", "arches=amd64")
        site.shell("boot-source-selections", "create", str(source), *words)
        site.shell("boot-resources", "import", "wait")
        site.enrol()
        site.write_rack_config('kernel_parameters = "console=ttyS0"')
        site.rack.start()
        site.shell("boot-resources", "import", "wait", rack=True)

    def boot(self, netdev: str, more: Sequence[str] = ()) -> VirtualMachine:
        """Let a machine boot until its init runs; it is off when this returns."""
        directory = Path(self.directory.name) / self.id().rpartition(".")[2]
        with VirtualMachine(directory, netdev, self.accel, more) as machine:
            machine.wait_for(*BOOTED, limit_s=BOOT_LIMIT_S)
        return machine

    def generation(self) -> int:
        """The generation that the rack shows."""
        return int(self.site.shell("status", rack=True)["generation"])

    def renew(self) -> None:
        """A new version is published, imported and synced; ``current`` is another snapshot."""
        before = self.site.current
        write_boot_stream(
            self.site.tree, self.site.key, self.images, self.loaders, version=NEXT_VERSION
        )
        self.site.shell("boot-resources", "import", "wait")
        self.site.shell("boot-resources", "import", "wait", rack=True)
        self.assertNotEqual(self.site.current, before)

    def test_http_with_ipxe(self) -> None:
        """With iPXE it boots by the generated script; kernel and initrd are of the generation
        where it began, although the rack shows another while it waits in the menu.
        """
        began = self.generation()
        script = f"bootfile=http://{HOST}:{self.site.ports.machines}/images/boot.ipxe"
        with VirtualMachine(Path(self.directory.name) / "ipxe", script, self.accel) as machine:
            machine.wait_for_request("/images/boot.ipxe", BOOT_LIMIT_S)
            self.renew()
            machine.wait_for(*BOOTED, limit_s=BOOT_LIMIT_S)
        self.assertGreater(self.generation(), began)
        tree = f"/generations/{began}"
        self.assertEqual(
            machine.http_requests(),
            ["/images/boot.ipxe", f"{tree}/{KERNEL}", f"{tree}/{INITRD}"],
        )
        self.assertIn(b"console=ttyS0", machine.console)

    def test_tftp_with_pxelinux(self) -> None:
        """With pxelinux it boots by the generated menu, over TFTP, straight from ``current``."""
        machine = self.boot(f"tftp={self.site.images_dir / 'current'},bootfile=pxelinux.0")
        asked = machine.tftp_requests()
        self.assertEqual(asked[:2], ["pxelinux.0", "ldlinux.c32"])
        self.assertEqual(asked[-3:], ["pxelinux.cfg/default", KERNEL, INITRD])

    def test_uefi_with_shim_and_grub(self) -> None:
        """UEFI firmware loads shim, shim loads GRUB, and GRUB boots by the generated menu."""
        machine = self.boot(
            f"tftp={self.site.images_dir / 'current'},bootfile=bootx64.efi",
            ["-bios", str(self.firmware)],
        )
        asked = machine.tftp_requests()
        self.assertEqual(asked[:2], ["bootx64.efi", "grubx64.efi"])
        self.assertIn("/grub/grub.cfg", asked)
        self.assertEqual(asked[-3:], ["/grub/grub.cfg-default-amd64", f"/{KERNEL}", f"/{INITRD}"])
