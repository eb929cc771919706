"""Menus for booting machines, generated from the images held (pure).

What MAAS leaves to its other parts, and a site without MAAS needs: a script for iPXE over
HTTP, and menus for pxelinux and GRUB over TFTP. The same images give the same bytes.

* iPXE's names paths below ``/generations/<n>``, relative to the server that it came from.
* The others name paths of their own tree, so that they work wherever a TFTP server points.
* An image is in a menu if it has a kernel and an initrd, and if the menu's machines can run
  it. With a squashfs the kernel is told to fetch it over HTTP, which needs an address:
  ``boot_url``, or else the server that the machine booted from. pxelinux cannot say that, so
  without ``boot_url`` its menu leaves such images out, and says so.

Names of files and images cannot hold anything odd (``common.names``); titles can.
"""

import re
from collections.abc import Iterable, Sequence

import attrs

from common.canonical import canonical_json
from common.digests import sha256_hex
from common.images import Image

IMAGES_PORT = 5248
"""Where machines look for images if nothing else is said."""

TIMEOUT_S = 10
"""How long a menu waits before it boots its default, the first image."""

_RULES = 1
"""To be raised by whoever changes what is generated here, so that racks make it anew."""

GRUB_CFG = """\
# Made by Rackferry. First this machine's own file, then the menu for all.
configfile (pxe)/grub/grub.cfg-${net_default_mac}
configfile (pxe)/grub/grub.cfg-default-amd64
"""

_HEADING = "Boot images of this rack"
_NOTHING = "This rack holds no bootable image."
_NO_URL = "needs boot_url in rackd.toml, since its root file system comes over HTTP"
_LIVE = "ro ip=dhcp overlayroot=tmpfs overlayroot_cfgdisk=disabled"
_X86 = ("amd64", "i386")
_IPXE_MACHINES = {"x86": _X86, "arm64": ("arm64",), "riscv64": ("riscv64",)}
_GRUB_MACHINES = {"x86_64": ("amd64",), "i386": ("i386",), "arm64": ("arm64",)}


@attrs.frozen
class MenuSettings:
    """What an admin can say about menus; keys of rackd.toml.

    Attributes:
        kernel_parameters: given to every kernel, after what it needs itself.
        boot_url: how machines reach this rack's images port; "" for the server that they
            booted from.
        port: the images port, for that server.
    """

    kernel_parameters: str = ""
    boot_url: str = ""
    port: int = IMAGES_PORT

    @property
    def recipe(self) -> str:
        """Names these settings and the rules of this module."""
        return sha256_hex(canonical_json({"rules": _RULES, "settings": attrs.asdict(self)}))


@attrs.frozen
class Bootable:
    """An image that a menu can offer; file names are names in ``directory``."""

    directory: str
    arch: str
    label: str
    kernel: str
    initrd: str
    squashfs: str = ""


def bootables(images: Iterable[Image]) -> tuple[Bootable, ...]:
    """Those of ``images`` that can be booted, in the order of their keys."""
    found = []
    for image in sorted(images, key=lambda image: image.key):
        names = {file.ftype: file.name for file in reversed(image.files)}
        if image.bootloader_type is None and {"boot-kernel", "boot-initrd"} <= names.keys():
            found.append(
                Bootable(
                    str(image.key),
                    image.key.arch,
                    _label(image),
                    names["boot-kernel"],
                    names["boot-initrd"],
                    names.get("squashfs", ""),
                )
            )
    return tuple(found)


def _label(image: Image) -> str:
    title = " ".join(re.sub(r"[^A-Za-z0-9 .,:()+/_-]", " ", image.title).split())
    return f"{image.key} {image.version}" + (f" - {title[:60].rstrip()}" if title else "")


def _command_line(
    each: Bootable, settings: MenuSettings, server: str, generation: int
) -> list[str]:
    words = []
    if each.squashfs:
        base = settings.boot_url or f"http://{server}:{settings.port}"
        words = [
            f"root=squash:{base}/generations/{generation}/{each.directory}/{each.squashfs}",
            *_LIVE.split(),
        ]
    return words + settings.kernel_parameters.split()


def ipxe_script(offered: Sequence[Bootable], settings: MenuSettings, generation: int) -> str:
    """``boot.ipxe``: one menu for each kind of machine."""
    lines = ["#!ipxe", f"# Made by Rackferry from generation {generation}."]
    kinds = {
        kind: [each for each in offered if each.arch in arches]
        for kind, arches in _IPXE_MACHINES.items()
    }
    lines += [f"iseq ${{buildarch}} {kind} && goto {kind} ||" for kind in kinds if kind != "x86"]
    for kind, images in kinds.items():
        lines += ["", f":{kind}", *_ipxe_menu(kind, images)]
        for number, each in enumerate(images, 1):
            tree = f"/generations/{generation}/{each.directory}"
            words = _command_line(each, settings, "${next-server}", generation)
            if each.squashfs:
                words.append("BOOTIF=01-${netX/mac:hexhyp}")
            line = " ".join([f"{tree}/{each.kernel}", f"initrd={each.initrd}", *words])
            lines += [
                "",
                f":{kind}-{number}",
                f"kernel {line}",
                f"initrd {tree}/{each.initrd}",
                "boot",
            ]
    return "\n".join([*lines, "", ":local", "exit", ""])


def _ipxe_menu(kind: str, images: Sequence[Bootable]) -> list[str]:
    if not images:
        return [f"echo {_NOTHING}", "goto local"]
    return [
        f"menu {_HEADING}",
        *(f"item {kind}-{number} {each.label}" for number, each in enumerate(images, 1)),
        "item local Boot from the local disk",
        f"choose --default {kind}-1 --timeout {TIMEOUT_S * 1000} selected || goto local",
        "goto ${selected}",
    ]


def pxelinux_menu(offered: Sequence[Bootable], settings: MenuSettings, generation: int) -> str:
    """``pxelinux.cfg/default``: paths are relative to where pxelinux.0 stands."""
    lines = [f"# Made by Rackferry from generation {generation}."]
    entries = []
    for each in offered:
        if each.arch not in _X86:
            continue
        if each.squashfs and not settings.boot_url:
            lines.append(f"# {each.label}: {_NO_URL}.")
        else:
            entries.append(each)
    if not entries:
        return "\n".join([*lines, f"SAY {_NOTHING}", *_pxelinux_local(default=True)])
    lines += ["DEFAULT 1", "PROMPT 1", f"TIMEOUT {TIMEOUT_S * 10}", f"SAY {_HEADING}:"]
    lines += [f"SAY {number}  {each.label}" for number, each in enumerate(entries, 1)]
    lines.append("SAY 0  Boot from the local disk")
    for number, each in enumerate(entries, 1):
        words = _command_line(each, settings, "", generation)
        lines += [
            "",
            f"LABEL {number}",
            f"  KERNEL {each.directory}/{each.kernel}",
            f"  INITRD {each.directory}/{each.initrd}",
            *([f"  APPEND {' '.join(words)}"] if words else []),
            *(["  IPAPPEND 2"] if each.squashfs else []),
        ]
    return "\n".join([*lines, "", *_pxelinux_local(default=False)])


def _pxelinux_local(*, default: bool) -> list[str]:
    first = ["DEFAULT 0", ""] if default else []
    return [*first, "LABEL 0", "  LOCALBOOT 0", ""]


def grub_menu(offered: Sequence[Bootable], settings: MenuSettings, generation: int) -> str:
    """``grub/grub.cfg-default-amd64``: its name is MAAS's; it serves each kind of machine."""
    lines = [f"# Made by Rackferry from generation {generation}."]
    lines += ["set default=0", f"set timeout={TIMEOUT_S}"]
    for cpu, arches in _GRUB_MACHINES.items():
        images = [each for each in offered if each.arch in arches]
        if not images:
            continue
        lines += ["", f'if [ "$grub_cpu" = "{cpu}" ]; then']
        for each in images:
            words = _command_line(each, settings, "${net_default_server}", generation)
            if each.squashfs:
                words.append("BOOTIF=01-${net_default_mac}")
            line = " ".join([f"/{each.directory}/{each.kernel}", *map(_grub_word, words)])
            lines += [
                f"menuentry '{each.label}' {{",
                f"  linux {line}",
                f"  initrd /{each.directory}/{each.initrd}",
                "}",
            ]
        lines.append("fi")
    if not offered:
        lines.append(f"echo '{_NOTHING}'")
    return "\n".join([*lines, "", "menuentry 'Boot from the local disk' {", "  exit", "}", ""])


def _grub_word(word: str) -> str:
    """Quoted if GRUB's shell would take it apart; a variable of its own must stay bare."""
    return word if re.fullmatch(r"(?:[\w.,:=/+@%~\[\]-]|\$\{\w+\})+", word) else f"'{word}'"
