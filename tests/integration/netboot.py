"""Debian's installer and boot loaders, for tests and the demo: real kernels, real initrds.

They come from Debian's packages, by ``apt-get download`` and ``dpkg-deb -x`` (no root
needed), and are kept in build/netboot.
"""

import shutil
import subprocess
from pathlib import Path

PACKAGE = "debian-installer-12-netboot-amd64"
FLAVOURS = ("text", "gtk")
UEFI_PACKAGES = ("grub-efi-amd64-signed", "ovmf", "shim-signed")
_IMAGES = Path("usr/lib/debian-installer/images/12/amd64")


class NotToBeHad(Exception):
    """The package cannot be downloaded or unpacked here; the message says why."""


def installer_images(cache: Path) -> dict[str, dict[str, Path]]:
    """Kernel and initrd of both installers: flavour -> file type -> path.

    The two kernels are the same bytes, so that shared blobs are met, too.

    Raises:
        NotToBeHad: no apt, no network, or no such package.
    """
    found = {
        flavour: {
            "boot-kernel": cache / _IMAGES / flavour / "debian-installer/amd64/linux",
            "boot-initrd": cache / _IMAGES / flavour / "debian-installer/amd64/initrd.gz",
        }
        for flavour in FLAVOURS
    }
    if not all(path.exists() for files in found.values() for path in files.values()):
        _unpack(cache, PACKAGE)
    return found


def pxelinux_files(cache: Path) -> dict[str, Path]:
    """The files of pxelinux and what it needs, by name; the installer brings its own.

    Raises:
        NotToBeHad: as ``installer_images``.
    """
    above = installer_images(cache)["text"]["boot-kernel"].parent
    return {
        "pxelinux.0": above / "pxelinux.0",
        "ldlinux.c32": above / "boot-screens" / "ldlinux.c32",
    }


def uefi_files(cache: Path) -> tuple[dict[str, Path], Path]:
    """Shim and GRUB as signed by Debian, by the names that MAAS's streams give them; and a
    firmware for QEMU.

    Raises:
        NotToBeHad: as ``installer_images``.
    """
    above = cache / "uefi"
    loaders = {
        "bootx64.efi": above / "usr/lib/shim/shimx64.efi.signed",
        "grubx64.efi": above / "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",
    }
    firmware = above / "usr/share/ovmf/OVMF.fd"
    if not all(path.exists() for path in (*loaders.values(), firmware)):
        _unpack(above, *UEFI_PACKAGES)
    return loaders, firmware


def _unpack(cache: Path, *packages: str) -> None:
    """Download and unpack; the files appear under their names when all is there."""
    staging = cache.resolve() / "unpacking"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    _run("apt-get", "download", *packages, directory=staging)
    for package in staging.glob("*.deb"):
        _run("dpkg-deb", "-x", str(package), str(staging), directory=staging)
    shutil.rmtree(cache / "usr", ignore_errors=True)
    (staging / "usr").rename(cache / "usr")
    shutil.rmtree(staging)


def _run(*argv: str, directory: Path) -> None:
    try:
        subprocess.run(argv, cwd=directory, check=True, capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip()
        raise NotToBeHad(f"{' '.join(argv)}: {said}") from error
