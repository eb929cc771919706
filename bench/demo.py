"""``make demo``: the main job, whole, with a kill of each daemon on the way.

Everything is real: GnuPG, TLS, the database, twistd processes, the shell. It runs without
root, on free ports of loopback, in build/demo, and exits 0 only if every byte on the rack
is right and every promise shown on the way was kept. Another directory may be its argument.

``STAY=1`` keeps all running until Ctrl-C. ``NETBOOT=1`` takes the Debian installer's
kernels and initrds. ``SOURCE=URL KEYRING=FILE SELECT=os/release/arch`` takes a real source.
"""

import os
import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from bench.walkthrough import (  # noqa: E402  (the work tree is made importable first)
    DemoFailed,
    Offer,
    Walkthrough,
)
from tests.integration.hops import Hop  # noqa: E402
from tests.integration.netboot import NotToBeHad, installer_images  # noqa: E402
from tests.integration.processes import ProcessFailed  # noqa: E402
from tests.integration.shells import ShellFailed  # noqa: E402
from tests.integration.site import Site  # noqa: E402
from tests.integration.sources import MIB, random_file  # noqa: E402

DIRECTORY = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "demo").resolve()
SIZES = {
    "one": {"boot-kernel": 8 * MIB, "boot-initrd": 24 * MIB + 1},
    "two": {"boot-initrd": 16 * MIB - 1, "squashfs": 24 * MIB + 4711},
}  # and "two" has the kernel of "one", which is moved and kept once
VERSION = "20260101"


def made_images() -> dict[str, dict[str, Path]]:
    """Small images of random bytes: release -> file type -> path."""
    made = {
        release: {
            ftype: random_file(DIRECTORY / "originals" / f"{release}-{ftype}", size_bytes)
            for ftype, size_bytes in files.items()
        }
        for release, files in SIZES.items()
    }
    made["two"]["boot-kernel"] = made["one"]["boot-kernel"]
    return made


def offer(site: Site, os_name: str, images: dict[str, dict[str, Path]]) -> Offer:
    """Publish the images in the site's tree, signed with its key."""
    originals = {}
    for release, files in images.items():
        product = {"os": os_name, "release": release, "arch": "amd64", "version": VERSION}
        site.publish(product, files)
        directory = f"{os_name}/amd64/generic/{release}/stable"
        originals |= {f"{directory}/{ftype}": path for ftype, path in files.items()}
    return Offer.of(originals)


def own_source(site: Site, steps: Walkthrough, lines: ExitStack) -> None:
    """The whole job on a source of our own, both hops slowed for the kills."""
    netboot = bool(os.environ.get("NETBOOT"))
    images = installer_images(ROOT / "build" / "netboot") if netboot else made_images()
    os_name = "debian" if netboot else "demo"
    offered = offer(site, os_name, images)
    url = site.serve()
    steps.say(
        "A signed boot source",
        f"{len(offered.files)} files, {offered.size_bytes / MIB:.1f} MiB",
        f"signed by a throwaway key, {site.key.fingerprint}",
        f"served by {site.source_software} at {url}",
    )
    upstream = lines.enter_context(Hop.to_url(url))
    source = steps.bring_up(upstream.url)
    steps.select(source, (f"os={os_name}", "release=*", "arches=amd64"))
    steps.import_with_a_kill(offered, upstream)
    downstream = rack_line(site, lines)
    steps.enrol()
    steps.sync_with_a_kill(offered, downstream)
    steps.refuse_a_tampered_index(source)
    steps.compare(offered)
    steps.show()


def rack_line(site: Site, lines: ExitStack) -> Hop:
    """Stand between rack and region; the hop that carries the images."""
    _rpc, _enrol, images = (
        lines.enter_context(Hop(site.region_host, port, listen=port))
        for port in (site.ports.rpc, site.ports.enrol, site.ports.images)
    )
    return images


def real_source(site: Site, steps: Walkthrough, url: str, lines: ExitStack) -> None:
    """The same from a source of others. Its index cannot be tampered with for show."""
    keyring, wanted = os.environ.get("KEYRING", ""), os.environ.get("SELECT", "").split("/")
    if not keyring or len(wanted) != 3:
        raise DemoFailed("SOURCE=URL needs KEYRING=FILE and SELECT=os/release/arch")
    os_name, release, arch = wanted
    source = steps.bring_up(url, str(Path(keyring).resolve()))
    steps.select(source, (f"os={os_name}", f"release={release}", f"arches={arch}"))
    steps.import_from_afar()
    offered = steps.imported()
    downstream = rack_line(site, lines)
    steps.enrol()
    steps.sync_with_a_kill(offered, downstream)
    steps.compare(offered)
    steps.show()


def main() -> int:
    """Run the demo; 0 only if every promise was kept."""
    began_s = time.monotonic()
    url = os.environ.get("SOURCE", "")
    for left in ("site", "fetched"):
        shutil.rmtree(DIRECTORY / left, ignore_errors=True)
    print(f"Rackferry: one source, one region, one rack, in {DIRECTORY}")
    try:
        with ExitStack() as lines, Site(DIRECTORY / "site", is_proxied=True) as site:
            steps = Walkthrough(site)
            if url:
                real_source(site, steps, url, lines)
            else:
                own_source(site, steps, lines)
            print(f"\nAll verified, in {time.monotonic() - began_s:.0f} s.", flush=True)
            if os.environ.get("STAY"):
                steps.stay()
    except (DemoFailed, ProcessFailed, ShellFailed, NotToBeHad) as error:
        notes = "\n".join(getattr(error, "__notes__", []))
        print(f"\nThe demo failed: {error}\n{notes}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; everything was stopped.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
