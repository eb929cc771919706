"""Tests of the generated menus: the whole text for one rack, and what each must never say."""

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.images import Image
from rackd.menus import (
    GRUB_CFG,
    MenuSettings,
    bootables,
    grub_menu,
    ipxe_script,
    pxelinux_menu,
)
from tests.doubles.images import image_of, named_file

DEBIAN = "debian/amd64/generic/bookworm/text"
JAMMY = "ubuntu/amd64/ga-22.04/jammy/stable"
ARM = "ubuntu/arm64/ga-22.04/jammy/stable"
SITE = MenuSettings("console=ttyS0,115200 ds=nocloud;s=x", "http://10.0.0.5:8080")


def image(key: str, *ftypes: str, title: str = "", **further: object) -> Image:
    """An image with files of these types."""
    files = [named_file(ftype, f"{key} {ftype}") for ftype in ftypes]
    return image_of(key, *files, version="1", title=title, **further)


HELD = bootables(
    [
        image(JAMMY, "boot-kernel", "boot-initrd", "squashfs", title="22.04 LTS"),
        image(ARM, "boot-kernel", "boot-initrd"),
        image(DEBIAN, "boot-kernel", "boot-initrd"),
        image("centos/amd64/generic/centos70/stable", "root-tgz"),
        image("grub/amd64/generic/uefi/s", "boot-kernel", "boot-initrd", bootloader_type="uefi"),
        image("ubuntu/amd64/ga-20.04/focal/stable", "boot-kernel", "squashfs"),
    ]
)

IPXE = """\
#!ipxe
# Made by Rackferry from generation 7.
iseq ${buildarch} arm64 && goto arm64 ||
iseq ${buildarch} riscv64 && goto riscv64 ||

:x86
menu Boot images of this rack
item x86-1 debian/amd64/generic/bookworm/text 1
item x86-2 ubuntu/amd64/ga-22.04/jammy/stable 1 - 22.04 LTS
item local Boot from the local disk
choose --default x86-1 --timeout 10000 selected || goto local
goto ${selected}

:x86-1
kernel /generations/7/debian/amd64/generic/bookworm/text/boot-kernel initrd=boot-initrd
initrd /generations/7/debian/amd64/generic/bookworm/text/boot-initrd
boot

:x86-2
kernel /generations/7/ubuntu/amd64/ga-22.04/jammy/stable/boot-kernel initrd=boot-initrd \
root=squash:http://${next-server}:5248/generations/7/ubuntu/amd64/ga-22.04/jammy/stable/squashfs \
ro ip=dhcp overlayroot=tmpfs overlayroot_cfgdisk=disabled BOOTIF=01-${netX/mac:hexhyp}
initrd /generations/7/ubuntu/amd64/ga-22.04/jammy/stable/boot-initrd
boot

:arm64
menu Boot images of this rack
item arm64-1 ubuntu/arm64/ga-22.04/jammy/stable 1
item local Boot from the local disk
choose --default arm64-1 --timeout 10000 selected || goto local
goto ${selected}

:arm64-1
kernel /generations/7/ubuntu/arm64/ga-22.04/jammy/stable/boot-kernel initrd=boot-initrd
initrd /generations/7/ubuntu/arm64/ga-22.04/jammy/stable/boot-initrd
boot

:riscv64
echo This rack holds no bootable image.
goto local

:local
exit
"""

PXELINUX = """\
# Made by Rackferry from generation 7.
DEFAULT 1
PROMPT 1
TIMEOUT 100
SAY Boot images of this rack:
SAY 1  debian/amd64/generic/bookworm/text 1
SAY 2  ubuntu/amd64/ga-22.04/jammy/stable 1 - 22.04 LTS
SAY 0  Boot from the local disk

LABEL 1
  KERNEL debian/amd64/generic/bookworm/text/boot-kernel
  INITRD debian/amd64/generic/bookworm/text/boot-initrd
  APPEND console=ttyS0,115200 ds=nocloud;s=x

LABEL 2
  KERNEL ubuntu/amd64/ga-22.04/jammy/stable/boot-kernel
  INITRD ubuntu/amd64/ga-22.04/jammy/stable/boot-initrd
  APPEND root=squash:http://10.0.0.5:8080/generations/7/ubuntu/amd64/ga-22.04/jammy/stable/squashfs \
ro ip=dhcp overlayroot=tmpfs overlayroot_cfgdisk=disabled console=ttyS0,115200 ds=nocloud;s=x
  IPAPPEND 2

LABEL 0
  LOCALBOOT 0
"""

GRUB = """\
# Made by Rackferry from generation 7.
set default=0
set timeout=10

if [ "$grub_cpu" = "x86_64" ]; then
menuentry 'debian/amd64/generic/bookworm/text 1' {
  linux /debian/amd64/generic/bookworm/text/boot-kernel console=ttyS0,115200 'ds=nocloud;s=x'
  initrd /debian/amd64/generic/bookworm/text/boot-initrd
}
menuentry 'ubuntu/amd64/ga-22.04/jammy/stable 1 - 22.04 LTS' {
  linux /ubuntu/amd64/ga-22.04/jammy/stable/boot-kernel \
root=squash:http://10.0.0.5:8080/generations/7/ubuntu/amd64/ga-22.04/jammy/stable/squashfs \
ro ip=dhcp overlayroot=tmpfs overlayroot_cfgdisk=disabled console=ttyS0,115200 'ds=nocloud;s=x' \
BOOTIF=01-${net_default_mac}
  initrd /ubuntu/amd64/ga-22.04/jammy/stable/boot-initrd
}
fi

if [ "$grub_cpu" = "arm64" ]; then
menuentry 'ubuntu/arm64/ga-22.04/jammy/stable 1' {
  linux /ubuntu/arm64/ga-22.04/jammy/stable/boot-kernel console=ttyS0,115200 'ds=nocloud;s=x'
  initrd /ubuntu/arm64/ga-22.04/jammy/stable/boot-initrd
}
fi

menuentry 'Boot from the local disk' {
  exit
}
"""


class GoldenTests(SynchronousTestCase):
    """The whole text."""

    maxDiff = None

    def test_ipxe(self) -> None:
        """One menu for each kind of machine, with a default, naming the generation's paths."""
        self.assertEqual(ipxe_script(HELD, MenuSettings(), 7), IPXE)

    def test_pxelinux(self) -> None:
        """Paths without a leading slash, so that they are relative to pxelinux.0."""
        self.assertEqual(pxelinux_menu(HELD, SITE, 7), PXELINUX)

    def test_grub(self) -> None:
        """One file for each kind of machine; what GRUB's shell would take apart is quoted."""
        self.assertEqual(grub_menu(HELD, SITE, 7), GRUB)

    def test_first_file(self) -> None:
        """GRUB asks for the machine's own file first, and then for the menu, as MAAS has it."""
        self.assertIn("configfile (pxe)/grub/grub.cfg-${net_default_mac}\n", GRUB_CFG)
        self.assertTrue(GRUB_CFG.endswith("configfile (pxe)/grub/grub.cfg-default-amd64\n"))


class MenuTests(SynchronousTestCase):
    """What may be in a menu."""

    def test_who(self) -> None:
        """A kernel and an initrd make an image bootable; a bootloader never is."""
        self.assertEqual([each.directory for each in HELD], [DEBIAN, JAMMY, ARM])

    def test_empty(self) -> None:
        """With nothing to boot each menu is valid, says so, and boots the local disk."""
        for menu in (ipxe_script, pxelinux_menu, grub_menu):
            text = menu((), MenuSettings(), 1)
            self.assertIn("This rack holds no bootable image.", text)
        self.assertIn("DEFAULT 0\n", pxelinux_menu((), MenuSettings(), 1))
        self.assertNotIn("choose", ipxe_script((), MenuSettings(), 1))

    def test_no_address(self) -> None:
        """Without boot_url GRUB names the server it came from; pxelinux leaves out and says so."""
        text = grub_menu(HELD, MenuSettings(port=99), 7)
        self.assertIn("root=squash:http://${net_default_server}:99/generations/7/ubuntu", text)
        text = pxelinux_menu(HELD, MenuSettings(), 7)
        self.assertNotIn("squash", text)
        self.assertIn(f"# {JAMMY} 1 - 22.04 LTS: needs boot_url in rackd.toml", text)
        self.assertNotIn("LABEL 2", text)
        only = [each for each in HELD if each.squashfs]
        self.assertIn("no bootable image", pxelinux_menu(only, MenuSettings(), 7))

    def test_recipe(self) -> None:
        """Other settings are another recipe, so that the menus are made anew."""
        recipes = {settings.recipe for settings in (MenuSettings(), SITE, MenuSettings(port=1))}
        self.assertEqual(len(recipes), 3)
        self.assertEqual(MenuSettings().recipe, MenuSettings().recipe)

    @given(st.text(max_size=200))
    def test_titles(self, title: str) -> None:
        """Whatever a title says, it is one short line that no boot loader takes for more."""
        odd = bootables([image(DEBIAN, "boot-kernel", "boot-initrd", title=title)])
        plain = bootables([image(DEBIAN, "boot-kernel", "boot-initrd", title="")])
        for menu in (ipxe_script, pxelinux_menu, grub_menu):
            lines = menu(odd, MenuSettings(), 1).splitlines()
            self.assertEqual(len(lines), len(menu(plain, MenuSettings(), 1).splitlines()))
        self.assertLess(len(odd[0].label), 120)
        self.assertRegex(odd[0].label, re.compile(r"\A[A-Za-z0-9 .,:()+/_-]*\Z"))
