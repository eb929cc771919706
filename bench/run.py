"""``make bench``: Rackferry and its peers, alternating, in one run on one machine.

Every round begins with a new database and an empty rack. Wall time runs from the command
to the durable end of the work; every byte on the rack is compared with the source. The
table goes to stdout and to build/bench/result.md. ``QUICK=1``: 3 rounds instead of 5.

Exit 0 also when a goal is missed (the table says so); 1 when a byte is wrong or a run fails.
"""

import os
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from bench import report  # noqa: E402  (the work tree is made importable first)
from bench.peers import (  # noqa: E402
    CurlOpenssl,
    PeerFailed,
    SstreamMirror,
    self_signed,
    sha256_of,
)
from bench.rounds import Bench, Figures, WrongResult, fresh, one_round  # noqa: E402
from bench.small_files import publish_small_files  # noqa: E402
from tests.integration.processes import ProcessFailed  # noqa: E402
from tests.integration.shells import ShellFailed  # noqa: E402
from tests.integration.site import Site  # noqa: E402
from tests.integration.sources import (  # noqa: E402
    LOOPBACK,
    MIB,
    FileServer,
    Listen,
    free_ports,
    nginx_path,
    random_file,
)

DIRECTORY = ROOT / "build" / "bench"
MEMORY_LIMIT_BYTES = 200 * MIB
PRODUCTS = {
    "alpha": {"squashfs": 512, "boot-initrd": 64, "boot-kernel": 16},
    "beta": {"squashfs": 256, "boot-initrd": 128, "boot-kernel": 48},
}  # MiB; 1 GiB in 6 files


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


def lines(size_bytes: int, figures: Figures) -> list[report.Row | report.Memory]:
    """The table of the issue; rows without a goal stand there for comparison."""
    seconds = figures.seconds
    whole_s = statistics.median(seconds["again command"])
    return [
        report.Row(
            "import 1 GiB in 6 files into the database, verified and durable",
            "sstream-mirror to disk",
            seconds["import"],
            seconds["import peer"],
            goal=1.5,
            size_bytes=size_bytes,
            remark=processor(seconds["import cpu"], seconds["import peer cpu"]),
        ),
        report.Row(
            "the same",
            "the same, then fsync of its files",
            seconds["import"],
            seconds["import peer synced"],
            size_bytes=size_bytes,
        ),
        report.Row(
            "import 2,000 files of 4 KiB in 500 images, verified, durable and published",
            "sstream-mirror to disk",
            seconds["small"],
            seconds["small peer"],
            goal=5.0,
            remark=processor(seconds["small cpu"], seconds["small peer cpu"]),
        ),
        report.Row(
            "import again, nothing changed (work inside the daemon)",
            "sstream-mirror again, whole command",
            seconds["again"],
            seconds["again peer"],
            goal=10.0,
            remark=f"our whole command: {whole_s:.3f} s",
        ),
        report.Row(
            "one rack, 1 GiB, mutual TLS, to disk, verified and synced",
            "nginx TLS -> curl, openssl sha256, sync",
            seconds["rack"],
            seconds["rack peer"],
            goal=1.0,
            size_bytes=size_bytes,
            remark=processor(seconds["rack cpu"], seconds["rack peer cpu"]),
        ),
        report.Row(
            "the same",
            "the same, nginx with sendfile",
            seconds["rack"],
            seconds["rack peer sendfile"],
            size_bytes=size_bytes,
            remark=processor(seconds["rack cpu"], seconds["rack peer sendfile cpu"]),
        ),
        report.Row(
            "ten machines fetch one 512 MiB file from a rack, plain HTTP",
            "nginx with sendfile, ten times curl",
            seconds["machines"],
            seconds["machines sendfile"],
            goal=0.9,
            size_bytes=10 * 512 * MIB,
            remark=processor(seconds["machines cpu"], seconds["machines sendfile cpu"]),
        ),
        report.Row(
            "the same",
            "nginx without sendfile, two 1 MiB buffers",
            seconds["machines"],
            seconds["machines peer"],
            goal=0.9,
            size_bytes=10 * 512 * MIB,
            remark=processor(seconds["machines cpu"], seconds["machines peer cpu"]),
        ),
        report.Memory("regiond", figures.region_peak_bytes, MEMORY_LIMIT_BYTES),
        report.Memory("rackd", figures.rack_peak_bytes, MEMORY_LIMIT_BYTES),
    ]


def processor(ours_s: list[float], peer_s: list[float]) -> str:
    """Processor seconds, which a busy machine changes less than wall time."""
    peer = f" v {statistics.median(peer_s):.1f} s" if peer_s else ""
    return f"CPU {statistics.median(ours_s):.1f} s{peer}"


def measure(rounds: int) -> str:
    """Run all rounds; the table."""
    origins = (Site(fresh(DIRECTORY / "origin")), Site(fresh(DIRECTORY / "small-origin")))
    with origins[0] as source, origins[1] as small:
        digests = publish(source)
        certificate, key = self_signed(DIRECTORY / "origin")
        plain, plain_sendfile, tls, tls_sendfile = free_ports(4)
        listens = [Listen(plain)]
        if nginx_path() is not None:
            listens += [
                Listen(plain_sendfile, sendfile=True),
                Listen(tls, certificate=certificate, key=key),
                Listen(tls_sendfile, sendfile=True, certificate=certificate, key=key),
            ]
        server = FileServer(source.tree, DIRECTORY / "origin" / "web", listens)
        bench = Bench(
            DIRECTORY,
            source,
            digests,
            server,
            (f"https://{LOOPBACK}:{tls}/", f"https://{LOOPBACK}:{tls_sendfile}/"),
            (f"http://{LOOPBACK}:{plain}/", f"http://{LOOPBACK}:{plain_sendfile}/"),
            certificate,
            small,
            publish_small_files(small.tree, small.key),
            SstreamMirror.installed(DIRECTORY / "peer-venv"),
            CurlOpenssl.installed(),
        )
        figures = Figures()
        try:
            for number in range(rounds):
                began_s = time.monotonic()
                one_round(bench, figures, number)
                spent_s = time.monotonic() - began_s
                print(f"round {number + 1} of {rounds}: {spent_s:.0f} s", flush=True)
        finally:
            server.close()
        return report.table(lines(bench.size_bytes, figures))


def main() -> int:
    """Measure, print, keep the result; the exit code."""
    rounds = 3 if os.environ.get("QUICK") else 5
    machine = report.machine()
    print(f"{machine}\n", flush=True)
    try:
        text = f"{measure(rounds)}\n\nMedian (min-max) of {rounds} rounds.\n"
    except (WrongResult, PeerFailed, ProcessFailed, ShellFailed) as error:
        notes = "\n".join(getattr(error, "__notes__", []))
        print(f"The run failed: {error}\n{notes}", file=sys.stderr)
        return 1
    (DIRECTORY / "result.md").write_text(f"{machine}\n\n{text}")
    print(f"\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
