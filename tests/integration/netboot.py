"""The real Debian installer images, for tests and the demo: real kernels, real initrds.

They come from the package ``debian-installer-12-netboot-amd64``, by ``apt-get download``
and ``dpkg-deb -x`` (no root needed), and are kept in build/netboot.
"""

import shutil
import subprocess
from pathlib import Path

PACKAGE = "debian-installer-12-netboot-amd64"
FLAVOURS = ("text", "gtk")
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
        _unpack(cache)
    return found


def _unpack(cache: Path) -> None:
    """Download and unpack; the images appear under their names when all is there."""
    staging = cache.resolve() / "unpacking"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    _run("apt-get", "download", PACKAGE, directory=staging)
    (package,) = staging.glob(f"{PACKAGE}_*.deb")
    _run("dpkg-deb", "-x", str(package), str(staging), directory=staging)
    shutil.rmtree(cache / "usr", ignore_errors=True)
    (staging / "usr").rename(cache / "usr")
    shutil.rmtree(staging)


def _run(*argv: str, directory: Path) -> None:
    try:
        subprocess.run(argv, cwd=directory, check=True, capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip()
        raise NotToBeHad(f"{PACKAGE} cannot be had: {said}") from error
