"""A region and a rack to be killed again and again, with a fault proxy on every hop.

One site is set up once: source, selection, enrolled rack, nothing imported. ``fresh_region``
and ``fresh_rack`` put a daemon's directory back to that, so that each run starts from nothing
without paying for keys and signatures again. Bytes are counted at the proxies.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs

from tests.integration.evidence import (
    RackWatch,
    RegionHolds,
    compare_rack,
    rack_held_bytes,
    region_holds,
    sha256_of,
)
from tests.integration.hops import Hop
from tests.integration.processes import Daemon
from tests.integration.site import Site
from tests.integration.sources import MIB, random_file

POLL_S = 0.008
ASK_AGAIN_S = 0.3
END_LIMIT_S = 90.0

SIZES = {
    "one": {"boot-kernel": 3 * MIB + 7, "boot-initrd": 5 * MIB + 1},
    "two": {"boot-initrd": 17 * MIB - 1, "squashfs": 27 * MIB + 4711},
}
"""Two images; "two" has the kernel of "one", too, which is moved once."""


@attrs.frozen
class Line:
    """A daemon that fetches, the hop it fetches over, and the most streams it may open."""

    daemon: Daemon
    hop: Hop
    most_streams: int


class Ground:
    """See the module.

    Args:
        seed: of the proxies' random cuts.
        sizes: release -> file type -> bytes; the kernel of the first is every image's.

    Attributes:
        site: the daemons and their directories.
        needed_bytes: what an import or a sync must move, each blob once.
        upstream, downstream: source to region, and region to rack (images).
        control: region to rack (AMP).
    """

    def __init__(self, seed: int, sizes: Mapping[str, Mapping[str, int]] = SIZES) -> None:
        self._stack = ExitStack()
        try:
            self._set_up(seed, sizes)
        except BaseException:
            self._stack.close()
            raise

    def _set_up(self, seed: int, sizes: Mapping[str, Mapping[str, int]]) -> None:
        directory = Path(tempfile.mkdtemp(prefix="rf-"))
        self._stack.callback(shutil.rmtree, directory, ignore_errors=True)
        self.site = site = self._stack.enter_context(Site(directory / "site", is_proxied=True))
        self._template = directory / "template"
        self.originals = self._publish(directory / "originals", sizes)
        self.upstream = self._hop(Hop.to_url(site.serve(), seed=seed))
        host, ports = site.region_host, site.ports
        self.control = self._hop(Hop(host, ports.rpc, listen=ports.rpc, seed=seed + 1))
        self._hop(Hop(host, ports.enrol, listen=ports.enrol))
        self.downstream = self._hop(Hop(host, ports.images, listen=ports.images, seed=seed + 2))
        self.importing = Line(site.region, self.upstream, most_streams=4)
        self.syncing = Line(site.rack, self.downstream, most_streams=2)
        site.region.start()
        # The first import runs at once; one that sees the selection would fill the template.
        self.until(self._is_idle, "the first import to find nothing to do")
        source = site.create_source(self.upstream.url)
        words = ("os=demo", "release=*", "arches=amd64")
        site.shell("boot-source-selections", "create", str(source), *words)
        site.enrol()
        site.region.stop()
        shutil.copytree(self.database.parent, self._template)

    def _hop(self, hop: Hop) -> Hop:
        return self._stack.enter_context(hop)

    def _publish(self, directory: Path, sizes: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
        first = next(iter(sizes))
        kernel = directory / first / "boot-kernel"
        originals, blobs = {}, {}
        for release, files in sizes.items():
            made = {
                ftype: random_file(directory / release / ftype, size_bytes)
                for ftype, size_bytes in files.items()
            } | {"boot-kernel": kernel}
            product = {"os": "demo", "release": release, "arch": "amd64", "version": "20260101"}
            self.site.publish(product, made)
            for ftype, path in made.items():
                name = sha256_of(path)
                originals[f"demo/amd64/generic/{release}/stable/{ftype}"] = name
                blobs[name] = path.stat().st_size
        self.needed_bytes = sum(blobs.values())
        return originals

    @property
    def database(self) -> Path:
        """The region's database file."""
        return self.site.directory / "region" / "regiond.db"

    def close(self) -> None:
        """End every process and remove every file."""
        self._stack.close()

    # -- the start of a run ----------------------------------------------------------

    def fresh_region(self) -> None:
        """Stop the region and let it have imported nothing yet."""
        self.site.region.stop()
        shutil.rmtree(self.database.parent)
        shutil.copytree(self._template, self.database.parent)

    def fresh_rack(self) -> RackWatch:
        """Stop the rack and let it hold nothing yet; somebody to look at its disk."""
        self.site.rack.stop()
        shutil.rmtree(self.site.images_dir, ignore_errors=True)
        return RackWatch(self.site.images_dir)

    def region_held_bytes(self) -> int:
        """What the killed region has in its database, after a look at all of it."""
        return region_holds(self.database).held_bytes

    def rack_held_bytes(self) -> int:
        """What the killed rack has on its disk."""
        return rack_held_bytes(self.site.images_dir)

    # -- the end of a run ------------------------------------------------------------

    def await_import(self) -> None:
        """Wait until the region says of every image that it is published."""
        self.until(self._all_published, "the import to be complete", pause_s=ASK_AGAIN_S)

    def _is_idle(self) -> bool:
        return not self.site.shell("boot-resources", "is-importing")

    def _all_published(self) -> bool:
        if not self._is_idle():
            return False
        images = self.site.shell("boot-resources", "read")
        releases = {Path(path).parents[1] for path in self.originals}
        return len(images) == len(releases) and all(
            image["state"] == "published" and image["complete_bytes"] == image["size_bytes"]
            for image in images
        )

    def await_sync(self) -> None:
        """Wait until the region says that the rack holds everything."""
        self.until(self._is_synced, "the rack to be synced", pause_s=ASK_AGAIN_S)

    def _is_synced(self) -> bool:
        (rack,) = self.site.shell("rack-controllers", "read")
        return rack["status"] == "synced" and self.site.current is not None

    def compare_import(self) -> RegionHolds:
        """Stop the region; its rows must be the originals' bytes."""
        self.site.region.stop()
        holds = region_holds(self.database)
        assert holds.complete == set(self.originals.values()), "not exactly the originals"
        assert holds.partial_bytes == 0, "a partial was left behind"
        return holds

    def compare_sync(self) -> None:
        """The rack's files must be the originals, and what the running region's view says."""
        compare_rack(self.site.images_dir, self.database, self.originals)

    def until(
        self,
        happened: Callable[[], Any],
        what: str,
        *,
        pause_s: float = POLL_S,
        limit_s: float = END_LIMIT_S,
    ) -> None:
        """Wait for something that only looking can tell.

        Raises:
            AssertionError: it did not happen; with the last words of both daemons.
        """
        deadline_s = time.monotonic() + limit_s
        while not happened():
            if time.monotonic() > deadline_s:
                tails = f"{self.site.region.tail()}\n{self.site.rack.tail()}"
                raise AssertionError(f"waited {limit_s:.0f} s in vain for {what}\n{tails}")
            time.sleep(pause_s)
