"""``python -m bench.transfers``: one rack, 1 GiB in 6 files, with 1, 2 and 4 transfers at once.

As the row "one rack" of ``make bench``: from the moment the region answers until ``current``
stands. The orders alternate from round to round; the median of several rounds, and the
processor time of both daemons. It is what ``rackd.transfers.AT_ONCE`` goes by.
"""

import os
import shutil
import statistics
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from bench.rounds import SELECTION, WrongResult, fresh, sync_rack, timed  # noqa: E402  (made importable first)
from bench.run import publish  # noqa: E402
from tests.integration.processes import cpu_seconds  # noqa: E402
from tests.integration.site import Site  # noqa: E402
from tests.integration.sources import MIB  # noqa: E402

DIRECTORY = ROOT / "build" / "bench"
COUNTS = (1, 2, 4)
ROUNDS = 5
_TWISTD = """
import sys
from rackd import transfers
transfers.AT_ONCE = int(sys.argv.pop(1))
from twisted.scripts.twistd import run
run()
"""


def synced(site: Site, count: int) -> tuple[float, float]:
    """A sync of an empty rack with so many transfers at once: wall and processor seconds."""
    if site.images_dir.exists():
        shutil.rmtree(site.images_dir)
    plain = list(site.rack.argv)
    site.rack.argv = [sys.executable, "-c", _TWISTD, str(count), *plain[1:]]
    site.region.pause()
    try:
        site.rack.start()
        if site.current is not None:
            raise WrongResult("the rack held images before the region answered")
        before_s = cpu_seconds(site.region.pid) + cpu_seconds(site.rack.pid)
        wall_s = timed(lambda: sync_rack(site))
        spent_s = cpu_seconds(site.region.pid) + cpu_seconds(site.rack.pid) - before_s
        site.rack.stop()
    finally:
        site.rack.argv = plain
    return wall_s, spent_s


def main() -> int:
    """Measure and tell."""
    walls: defaultdict[int, list[float]] = defaultdict(list)
    spent: defaultdict[int, list[float]] = defaultdict(list)
    with Site(fresh(DIRECTORY / "origin")) as source:
        size_bytes = sum((source.tree / path).stat().st_size for path in publish(source))
        with Site(fresh(DIRECTORY / "site"), source=source) as site:
            site.region.start()
            site.shell("boot-source-selections", "create", str(site.create_source()), *SELECTION)
            site.shell("boot-resources", "import", "wait")
            site.enrol()
            for number in range(ROUNDS + 1):
                for count in COUNTS if number % 2 else COUNTS[::-1]:
                    wall_s, spent_s = synced(site, count)
                    if number:  # the first round warms up
                        walls[count].append(wall_s)
                        spent[count].append(spent_s)
    for count in COUNTS:
        wall_s = statistics.median(walls[count])
        sys.stdout.write(
            f"{count} at once: {size_bytes / MIB / wall_s:5.0f} MiB/s, {wall_s:.2f} s"
            f" ({min(walls[count]):.2f}-{max(walls[count]):.2f}),"
            f" CPU {statistics.median(spent[count]):.1f} s\n"
        )
    sys.stdout.write(f"median of {ROUNDS} rounds; load average {os.getloadavg()[0]:.1f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
