"""``make bench``: Rackferry and its peers, alternating, in one run on one machine.

Every round begins with a new database and an empty rack. Wall time runs from the command
to the durable end of the work; every byte on the rack is compared with the source. The
table goes to stdout and to build/bench/result.md. ``QUICK=1``: 3 rounds instead of 5.

Exit 0 also when a goal is missed (the table says so); 1 when a byte is wrong or a run fails.
"""

import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from bench import report  # noqa: E402  (the work tree is made importable first)
from bench.peers import CurlOpenssl, SstreamMirror, self_signed, sha256_of  # noqa: E402
from tests.integration.site import Site  # noqa: E402
from tests.integration.sources import (  # noqa: E402
    MIB,
    FileServer,
    Listen,
    free_ports,
    nginx_path,
    random_file,
)

DIRECTORY = ROOT / "build" / "bench"
MEMORY_LIMIT_BYTES = 200 * MIB
SYNC_LIMIT_S = 300.0
PRODUCTS = {
    "alpha": {"squashfs": 512, "boot-initrd": 64, "boot-kernel": 16},
    "beta": {"squashfs": 256, "boot-initrd": 128, "boot-kernel": 48},
}  # MiB; 1 GiB in 6 files


@attrs.define
class Figures:
    """What all rounds measured; seconds, one per round, in order."""

    ours_import: list[float] = attrs.field(factory=list)
    peer_import: list[float] = attrs.field(factory=list)
    ours_again: list[float] = attrs.field(factory=list)
    ours_again_command: list[float] = attrs.field(factory=list)
    peer_import_synced: list[float] = attrs.field(factory=list)
    peer_again: list[float] = attrs.field(factory=list)
    ours_rack: list[float] = attrs.field(factory=list)
    peer_rack: list[float] = attrs.field(factory=list)
    peer_rack_sendfile: list[float] = attrs.field(factory=list)
    region_peak_bytes: int = 0
    rack_peak_bytes: int = 0


@attrs.frozen
class Bench:
    """What stays the same over the rounds."""

    source: Site
    digests: dict[str, str]
    plain_url: str
    tls_urls: tuple[str, str]
    certificate: Path
    mirror: SstreamMirror | None
    curl: CurlOpenssl | None

    @property
    def size_bytes(self) -> int:
        """All files of the source."""
        return sum((self.source.tree / path).stat().st_size for path in self.digests)


def publish(source: Site) -> dict[str, str]:
    """Make the signed source; path -> SHA-256 of each of its files."""
    for release, files in PRODUCTS.items():
        made = {
            ftype: random_file(DIRECTORY / "originals" / f"{release}-{ftype}", size * MIB)
            for ftype, size in files.items()
        }
        product = {"os": "bench", "release": release, "arch": "amd64", "version": "20260101"}
        source.publish(product, made)
    return {
        str(path.relative_to(source.tree)): sha256_of(path)
        for path in sorted(source.tree.rglob("*"))
        if path.is_file() and "streams" not in path.relative_to(source.tree).parts
    }


def timed(work: Callable[[], object]) -> float:
    """Wall seconds of ``work``, with nobody else's writes still on their way to disk."""
    os.sync()
    began_s = time.monotonic()
    work()
    return time.monotonic() - began_s


def sync_files(directory: Path) -> float:
    """Make every file in it durable; wall seconds."""
    began_s = time.monotonic()
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    return time.monotonic() - began_s


def fresh(path: Path) -> Path:
    """An empty directory."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def alternating(number: int, ours: Callable[[], None], peer: Callable[[], None]) -> None:
    """Do both; who goes first changes from round to round."""
    for work in (ours, peer) if number % 2 else (peer, ours):
        work()


def import_round(bench: Bench, site: Site, figures: Figures, number: int) -> None:
    """Row 1, then row 2 on what row 1 left behind."""
    copy = fresh(DIRECTORY / "mirror")
    mirror = bench.mirror

    def ours() -> None:
        spent_s = timed(lambda: site.shell("boot-resources", "import", "wait"))
        figures.ours_import.append(spent_s)

    def peer() -> None:
        if mirror is not None:
            os.sync()
            spent_s = mirror.mirror(bench.plain_url, copy, bench.source.key.keyring)
            figures.peer_import.append(spent_s)
            figures.peer_import_synced.append(spent_s + sync_files(copy))

    def ours_again() -> None:
        began_s = time.monotonic()
        answer = site.shell("boot-resources", "import", "wait")
        figures.ours_again_command.append(time.monotonic() - began_s)
        if answer["outcome"] != "unchanged":
            raise SystemExit(f"WRONG RESULT: nothing had changed, but the import says {answer}")
        figures.ours_again.append(float(answer["work_s"]))

    def peer_again() -> None:
        if mirror is not None:
            spent_s = mirror.mirror(bench.plain_url, copy, bench.source.key.keyring)
            figures.peer_again.append(spent_s)

    alternating(number, ours, peer)
    alternating(number, ours_again, peer_again)
    if mirror is not None:
        compare(bench, (path for path in copy.rglob("*") if path.is_file()))
    shutil.rmtree(copy)


def rack_round(bench: Bench, site: Site, figures: Figures, number: int) -> None:
    """Row 3: a rack with an empty disk; the peer fetches the same files."""
    curl = bench.curl
    site.enrol()

    def ours() -> None:
        # The region stands still while the rack starts, so that the clock begins with the
        # handshake and not with Python's start-up, and no byte has moved before it.
        site.region.pause()
        site.rack.start()
        figures.ours_rack.append(timed(lambda: sync_rack(site)))
        compare(bench, site.held_files().values())

    def peer() -> None:
        if curl is None or nginx_path() is None:
            return
        for url, seconds in zip(
            bench.tls_urls, (figures.peer_rack, figures.peer_rack_sendfile), strict=True
        ):
            copy = fresh(DIRECTORY / "curl")
            os.sync()
            seconds.append(curl.fetch(url, bench.digests, copy, bench.certificate))
            shutil.rmtree(copy)

    alternating(number, ours, peer)


def sync_rack(site: Site) -> None:
    """Let the region answer, and return when the rack's ``current`` stands."""
    site.region.resume()
    deadline_s = time.monotonic() + SYNC_LIMIT_S
    while site.current is None:
        if time.monotonic() > deadline_s or not site.rack.is_running:
            raise SystemExit(f"the rack did not sync\n{site.rack.tail()}\n{site.region.tail()}")
        time.sleep(0.002)


def compare(bench: Bench, found: Iterable[Path]) -> None:
    """Every file of the source must be among ``found``, byte for byte.

    Raises:
        SystemExit: one is not; the run is worth nothing.
    """
    held = {sha256_of(path) for path in found}
    missing = [path for path, digest in bench.digests.items() if digest not in held]
    if missing:
        raise SystemExit(f"WRONG RESULT: not there byte for byte: {', '.join(missing)}")


def one_round(bench: Bench, figures: Figures, number: int) -> None:
    """A new database and an empty rack; all rows once."""
    with Site(fresh(DIRECTORY / "site"), source=bench.source) as site:
        site.region.start()
        source = site.create_source(bench.plain_url)
        for release in PRODUCTS:
            words = ("os=bench", f"release={release}", "arches=amd64")
            site.shell("boot-source-selections", "create", str(source), *words)
        import_round(bench, site, figures, number)
        rack_round(bench, site, figures, number)
        figures.region_peak_bytes = max(figures.region_peak_bytes, site.region.peak_rss_bytes())
        figures.rack_peak_bytes = max(figures.rack_peak_bytes, site.rack.peak_rss_bytes())
    shutil.rmtree(DIRECTORY / "site")


def lines(bench: Bench, figures: Figures) -> list[report.Row | report.Memory]:
    """The table of the issue."""
    size = bench.size_bytes
    whole = statistics.median(figures.ours_again_command)
    return [
        report.Row(
            "import 1 GiB in 6 files into the database, verified and durable",
            "sstream-mirror to disk",
            figures.ours_import,
            figures.peer_import,
            goal=1.5,
            size_bytes=size,
        ),
        report.Row(
            "the same",
            "the same, then fsync of its files",
            figures.ours_import,
            figures.peer_import_synced,
            size_bytes=size,
            remark="for comparison only",
        ),
        report.Row(
            "import again, nothing changed (work inside the daemon)",
            "sstream-mirror again, whole command",
            figures.ours_again,
            figures.peer_again,
            goal=10.0,
            remark=f"our whole command: {whole:.3f} s",
        ),
        report.Row(
            "one rack, 1 GiB, mutual TLS, to disk, verified and synced",
            "nginx TLS -> curl, openssl sha256, sync",
            figures.ours_rack,
            figures.peer_rack,
            goal=1.0,
            size_bytes=size,
            remark="nginx: sendfile off, output_buffers 2 1m",
        ),
        report.Row(
            "the same",
            "the same, nginx with sendfile",
            figures.ours_rack,
            figures.peer_rack_sendfile,
            size_bytes=size,
            remark="for comparison only",
        ),
        report.Memory("regiond", figures.region_peak_bytes, MEMORY_LIMIT_BYTES),
        report.Memory("rackd", figures.rack_peak_bytes, MEMORY_LIMIT_BYTES),
    ]


def main() -> int:
    """Run all rounds and print the table."""
    rounds = 3 if os.environ.get("QUICK") else 5
    machine = report.machine()
    print(f"{machine}\n", flush=True)
    with Site(fresh(DIRECTORY / "origin")) as source:
        digests = publish(source)
        certificate, key = self_signed(DIRECTORY / "origin")
        plain, tls, tls_sendfile = free_ports(3)
        listens = [Listen(plain)]
        if nginx_path() is not None:
            listens += [
                Listen(tls, certificate=certificate, key=key),
                Listen(tls_sendfile, sendfile=True, certificate=certificate, key=key),
            ]
        server = FileServer(source.tree, DIRECTORY / "origin" / "web", listens)
        bench = Bench(
            source,
            digests,
            server.url,
            (f"https://127.0.0.1:{tls}/", f"https://127.0.0.1:{tls_sendfile}/"),
            certificate,
            SstreamMirror.installed(DIRECTORY / "peer-venv"),
            CurlOpenssl.installed(),
        )
        figures = Figures()
        try:
            for number in range(rounds):
                began_s = time.monotonic()
                one_round(bench, figures, number)
                print(f"round {number + 1} of {rounds}: {time.monotonic() - began_s:.0f} s")
        finally:
            server.close()
        text = f"{report.table(lines(bench, figures))}\n\nMedian (min-max) of {rounds} rounds.\n"
    (DIRECTORY / "result.md").write_text(f"{machine}\n\n{text}")
    print(f"\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
