"""The rounds of the benchmark: every row once, with a new database and an empty rack."""

import os
import resource
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs

from bench.peers import CurlOpenssl, SstreamMirror, sha256_of
from bench.small_files import IMAGES
from tests.integration.processes import cpu_seconds
from tests.integration.site import Site
from tests.integration.sources import LOOPBACK, FileServer, nginx_path

SYNC_LIMIT_S = 300.0
MACHINES = 10
SELECTION = ("os=bench", "release=*", "arches=amd64")


class WrongResult(Exception):
    """A byte is wrong or a daemon did not do its job: the figures are worth nothing."""


@attrs.define
class Figures:
    """What the rounds measured.

    Attributes:
        seconds: by name ("import", "import peer", "import cpu", ...), one per round.
        region_peak_bytes, rack_peak_bytes: the most of all rounds.
    """

    seconds: defaultdict[str, list[float]] = attrs.field(factory=lambda: defaultdict(list))
    region_peak_bytes: int = 0
    rack_peak_bytes: int = 0


@attrs.frozen
class Bench:
    """What stays the same over the rounds.

    ``tls_urls`` and ``plain_urls``: nginx with ``sendfile`` off and on. ``small``: the
    source of many small files. ``mirror`` and ``curl``: None if they cannot be had.
    """

    directory: Path
    source: Site
    digests: dict[str, str]
    server: FileServer
    tls_urls: tuple[str, str]
    plain_urls: tuple[str, str]
    certificate: Path
    small: Site
    small_digests: dict[str, str]
    mirror: SstreamMirror | None
    curl: CurlOpenssl | None

    @property
    def size_bytes(self) -> int:
        """All files of the source."""
        return sum((self.source.tree / path).stat().st_size for path in self.digests)

    def compare(self, found: Iterable[Path]) -> None:
        """Every file of the source must be among ``found``, byte for byte.

        Raises:
            WrongResult: one is not.
        """
        held = {sha256_of(path) for path in found if path.is_file()}
        missing = [path for path, digest in self.digests.items() if digest not in held]
        if missing:
            raise WrongResult(f"not there byte for byte: {', '.join(missing)}")


def one_round(bench: Bench, figures: Figures, number: int) -> None:
    """A new database and an empty rack; all rows once."""
    with Site(fresh(bench.directory / "site"), source=bench.source) as site:
        site.region.start()
        source = site.create_source(bench.server.url)
        site.shell("boot-source-selections", "create", str(source), *SELECTION)
        _import(bench, site, figures, number)
        _import_again(bench, site, figures, number)
        _rack(bench, site, figures, number)
        _machines(bench, site, figures, number)
        figures.region_peak_bytes = max(figures.region_peak_bytes, site.region.peak_rss_bytes())
        figures.rack_peak_bytes = max(figures.rack_peak_bytes, site.rack.peak_rss_bytes())
    _small_files(bench, figures, number)
    shutil.rmtree(bench.directory / "site")
    shutil.rmtree(bench.directory / "mirror", ignore_errors=True)


def fresh(path: Path) -> Path:
    """An empty directory."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def _import(bench: Bench, site: Site, figures: Figures, number: int) -> None:
    copy = fresh(bench.directory / "mirror")
    seconds = figures.seconds

    def ours() -> None:
        before_s = cpu_seconds(site.region.pid)
        seconds["import"].append(timed(lambda: site.shell("boot-resources", "import", "wait")))
        seconds["import cpu"].append(cpu_seconds(site.region.pid) - before_s)
        _until_idle(site)

    def peer() -> None:
        if bench.mirror is None:
            return
        os.sync()
        before_s = _cpu_of_children()
        spent_s = bench.mirror.mirror(bench.server.url, copy, bench.source.key.keyring)
        seconds["import peer"].append(spent_s)
        seconds["import peer cpu"].append(_cpu_of_children() - before_s)
        seconds["import peer synced"].append(spent_s + _sync_files(copy))
        bench.compare(copy.rglob("*"))

    _alternating(number, ours, peer)


def _small_files(bench: Bench, figures: Figures, number: int) -> None:
    """An import in which every file is tiny, into a database of its own."""
    copy = fresh(bench.directory / "mirror")
    seconds, url = figures.seconds, bench.small.serve()

    def ours() -> None:
        with Site(fresh(bench.directory / "site"), source=bench.small) as site:
            site.region.start()
            selection = ("os=small", "release=*", "arches=amd64")
            site.shell("boot-source-selections", "create", str(site.create_source(url)), *selection)
            before_s = cpu_seconds(site.region.pid)
            seconds["small"].append(timed(lambda: site.shell("boot-resources", "import", "wait")))
            seconds["small cpu"].append(cpu_seconds(site.region.pid) - before_s)
            images = site.shell("boot-resources", "read")
            if [each["state"] for each in images] != ["published"] * IMAGES:
                raise WrongResult("not every image of the small files was published")

    def peer() -> None:
        if bench.mirror is None:
            return
        os.sync()
        before_s = _cpu_of_children()
        seconds["small peer"].append(bench.mirror.mirror(url, copy, bench.small.key.keyring))
        seconds["small peer cpu"].append(_cpu_of_children() - before_s)
        held = {sha256_of(path) for path in copy.rglob("*") if path.is_file()}
        if not held.issuperset(bench.small_digests.values()):
            raise WrongResult("the mirror lacks some of the small files")

    _alternating(number, ours, peer)


def _import_again(bench: Bench, site: Site, figures: Figures, number: int) -> None:
    seconds = figures.seconds

    def ours() -> None:
        began_s = time.monotonic()
        answer = site.shell("boot-resources", "import", "wait")
        seconds["again command"].append(time.monotonic() - began_s)
        seconds["again"].append(float(answer["work_s"]))
        if answer["outcome"] != "unchanged":
            raise WrongResult(f"nothing had changed, but the import says {answer}")

    def peer() -> None:
        if bench.mirror is not None:
            copy = bench.directory / "mirror"
            spent_s = bench.mirror.mirror(bench.server.url, copy, bench.source.key.keyring)
            seconds["again peer"].append(spent_s)

    _alternating(number, ours, peer)


def _rack(bench: Bench, site: Site, figures: Figures, number: int) -> None:
    site.enrol()
    seconds = figures.seconds

    def ours() -> None:
        # The region stands still while the rack starts, so that the clock begins with the
        # handshake and not with Python's start-up, and no byte has moved before it.
        site.region.pause()
        site.rack.start()
        before_s = cpu_seconds(site.region.pid) + cpu_seconds(site.rack.pid)
        seconds["rack"].append(timed(lambda: sync_rack(site)))
        after_s = cpu_seconds(site.region.pid) + cpu_seconds(site.rack.pid)
        seconds["rack cpu"].append(after_s - before_s)
        bench.compare(site.held_files().values())

    def peer() -> None:
        if bench.curl is None or nginx_path() is None:
            return
        for url, name in zip(bench.tls_urls, ("rack peer", "rack peer sendfile"), strict=True):
            copy = fresh(bench.directory / "curl")
            os.sync()
            before_s = _cpu_of_children() + cpu_seconds(bench.server.pid)
            seconds[name].append(bench.curl.fetch(url, bench.digests, copy, bench.certificate))
            after_s = _cpu_of_children() + cpu_seconds(bench.server.pid)
            seconds[f"{name} cpu"].append(after_s - before_s)
            shutil.rmtree(copy)

    _alternating(number, ours, peer)


def _machines(bench: Bench, site: Site, figures: Figures, number: int) -> None:
    """Ten machines boot at once: the largest file, ten times, over plain HTTP."""
    if bench.curl is None or nginx_path() is None:
        return
    seconds, curl = figures.seconds, bench.curl
    path = max(bench.digests, key=lambda each: (bench.source.tree / each).stat().st_size)
    held = {sha256_of(file): name for name, file in site.held_files().items()}
    ours_url = f"http://{LOOPBACK}:{site.ports.machines}/images/{held[bench.digests[path]]}"

    def ours() -> None:
        before_s = cpu_seconds(site.rack.pid)
        seconds["machines"].append(curl.discard(ours_url, MACHINES))
        seconds["machines cpu"].append(cpu_seconds(site.rack.pid) - before_s)

    def peer() -> None:
        for url, name in zip(bench.plain_urls, ("machines peer", "machines sendfile"), strict=True):
            before_s = cpu_seconds(bench.server.pid)
            seconds[name].append(curl.discard(f"{url}{path}", MACHINES))
            seconds[f"{name} cpu"].append(cpu_seconds(bench.server.pid) - before_s)

    _alternating(number, ours, peer)


def sync_rack(site: Site) -> None:
    """Let the region answer, and return when the rack's ``current`` stands."""
    site.region.resume()
    deadline_s = time.monotonic() + SYNC_LIMIT_S
    while site.current is None:
        if time.monotonic() > deadline_s or not site.rack.is_running:
            raise WrongResult("the rack did not sync")
        time.sleep(0.002)


def _alternating(number: int, ours: Callable[[], None], peer: Callable[[], None]) -> None:
    """Do both; who goes first changes from round to round."""
    for work in (ours, peer) if number % 2 else (peer, ours):
        work()


def timed(work: Callable[[], object]) -> float:
    """Wall seconds of ``work``, with nobody else's writes still on their way to disk."""
    os.sync()
    began_s = time.monotonic()
    work()
    return time.monotonic() - began_s


def _until_idle(site: Site) -> None:
    """Wait until the region has moved its log: that must not cost the next one's time.

    The images are verified, durable and published before; the move is housekeeping.
    """
    before_s, now_s = -1.0, cpu_seconds(site.region.pid)
    while now_s > before_s:
        time.sleep(0.3)
        before_s, now_s = now_s, cpu_seconds(site.region.pid)


def _sync_files(directory: Path) -> float:
    """Make every file in it durable; wall seconds."""
    began_s = time.monotonic()
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    return time.monotonic() - began_s


def _cpu_of_children() -> float:
    """The processor time of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
