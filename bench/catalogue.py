"""``python -m bench.catalogue``: what a catalogue of the real size costs, in processor time.

242 products with 1,936 items, signed with a throwaway key: verified by GnuPG, parsed, named,
matched with a selection of everything, and planned. Processor time of this process and of
GnuPG, the median of several runs; exit 1 if it is above the goal.
"""

import os
import statistics
import sys
from collections.abc import Callable
from datetime import date
from itertools import pairwise
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from common.images import Selection  # noqa: E402  (the work tree is made importable first)
from regiond.import_plan import Holdings  # noqa: E402
from regiond.planning import plan_import  # noqa: E402
from regiond.sources.catalogue import catalogue  # noqa: E402
from regiond.sources.matching import SourceOffers  # noqa: E402
from regiond.sources.signatures import verify  # noqa: E402
from regiond.sources.simplestreams import parse_products  # noqa: E402
from tests.doubles.catalogues import full_size  # noqa: E402
from tests.doubles.gpg_keys import public_keys, signed  # noqa: E402
from tests.doubles.stream_documents import STABLE, UPDATED, text  # noqa: E402

GOAL_MS = 150
RUNS = 9
PARTS = ("verified", "parsed", "named", "matched and planned")


def spent_ms() -> float:
    """Processor time of this process and of its children so far."""
    used = (getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN))
    return 1000 * sum(each.ru_utime + each.ru_stime for each in used)


def measured(document: bytes, keyring: bytes) -> list[float]:
    """Processor time of each part."""
    times = [spent_ms()]
    payload = verify(document, keyring, name="products", now=UPDATED).payload
    times.append(spent_ms())
    read = parse_products(payload, STABLE, "products")
    times.append(spent_ms())
    found = catalogue([read])
    times.append(spent_ms())
    wanted = (Selection("*", "*"),)
    plan = plan_import([SourceOffers(1, 0, wanted, found.newest, date(2025, 8, 1))], Holdings())
    times.append(spent_ms())
    assert len(plan.stage) == 242, len(plan.stage)
    return [after - before for before, after in pairwise(times)]


def main(write: Callable[[str], object]) -> int:
    """Measure and tell."""
    document, keyring = signed(text(full_size()), "rsa"), public_keys("rsa")
    runs = [measured(document, keyring) for _ in range(RUNS + 1)][1:]
    for name, values in zip(PARTS, zip(*runs, strict=True), strict=True):
        write(f"{name:22}{statistics.median(values):7.0f} ms\n")
    whole = statistics.median(map(sum, runs))
    load = os.getloadavg()[0]
    write(f"{'all of it':22}{whole:7.0f} ms  (goal {GOAL_MS} ms; load average {load:.1f})\n")
    return 0 if whole <= GOAL_MS else 1


if __name__ == "__main__":
    sys.exit(main(sys.stdout.write))
