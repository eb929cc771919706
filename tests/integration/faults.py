"""Bad lines between real daemons: the whole way from the source to the rack's disk.

Region and rack start from nothing, the fault is on both hops from the first byte, and each
hop is mended only after the fault was seen to work. Nothing else is done to end a run.
"""

import random
import time
from collections.abc import Callable, Mapping

import attrs

from tests.integration.evidence import RackWatch, mib
from tests.integration.ground import ASK_AGAIN_S, POLL_S, Ground
from tests.integration.hops import Hop
from tests.integration.killing import MISS_AFTER_S, Kill, Run
from tests.integration.sources import MIB

SHORT_FAULT_S = 1.5
STALL_LIMIT_S = 150.0  # the region's patience is 60 s, and a quarter of that to notice

Counts = Mapping[str, int]


@attrs.frozen
class Fault:
    """What is wrong with a line.

    Attributes:
        orders: what the proxy is told when the run begins.
        has_struck: told the counts of then and now, and the seconds since bytes first came.
        mend: what the proxy is told once it has.
    """

    orders: tuple[str, ...]
    has_struck: Callable[[Counts, Counts, float], bool]
    mend: str = "clear"


def _new_connections(least: int) -> Callable[[Counts, Counts, float], bool]:
    return lambda then, now, _: now["connections"] - then["connections"] >= least


def _for_some_time(then: Counts, now: Counts, since_s: float) -> bool:
    assert now["down"] - then["down"] < 44 * MIB, "the line was not slow at all"
    return since_s >= SHORT_FAULT_S


def faults(draw: random.Random) -> dict[str, Fault]:
    """One of each kind, at random bytes, by name."""
    middle = draw.randrange(MIB, 3 * MIB)
    return {
        "cut": Fault((f"down cut_within={3 * MIB}",), _new_connections(10)),
        "stall": Fault((f"down stall_after={middle}",), _for_some_time),
        "delay": Fault(("down delay_s=0.1", "up delay_s=0.1"), _for_some_time),
        "slow": Fault(("down rate=600000",), _for_some_time),
        # The first connections are all hit once; those that replace them are good.
        "corrupt": Fault((f"down corrupt_at={middle}",), _new_connections(4), "new down"),
    }


class Storm:
    """One run from the source to the rack's disk, over bad lines."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._hops = (ground.upstream, ground.downstream)
        self._watch: RackWatch
        self._then: dict[Hop, Counts] = {}

    def begin(self) -> None:
        """Region and rack start, holding nothing."""
        self._watch = self._ground.fresh_rack()
        self._ground.fresh_region()
        self._then = {hop: hop.counts() for hop in self._hops}
        self._ground.site.region.start()
        self._ground.site.rack.start()

    def strike(self, hop: Hop, fault: Fault) -> None:
        """Wait until the fault of a hop has done its work, then mend that hop."""
        first_s = None

        def struck() -> bool:
            nonlocal first_s
            self._watch.look()
            now = hop.counts()
            if first_s is None and now["down"] - self._then[hop]["down"] > MIB // 2:
                first_s = time.monotonic()
            since_s = 0.0 if first_s is None else time.monotonic() - first_s
            return fault.has_struck(self._then[hop], now, since_s)

        self._ground.until(struck, "the fault to strike")
        hop.order(fault.mend)

    def end(self) -> str:
        """Wait for the end, compare everything; what it took."""
        ground = self._ground
        ground.await_import()
        ground.await_sync()
        self._watch.look()
        ground.compare_sync()
        ground.compare_import()
        figures = []
        for hop in self._hops:
            hop.full_speed()
            now, then = hop.counts(), self._then[hop]
            again_bytes = now["down"] - then["down"] - ground.needed_bytes
            reconnects = now["connections"] - then["connections"]
            figures.append(f"{reconnects} connections, {mib(again_bytes)} again")
        return "; ".join(figures)


def stormy(ground: Ground, name: str, fault: Fault) -> str:
    """One run with a fault on both hops; a line that says what it took."""
    began_s = time.monotonic()
    storm = Storm(ground)
    for hop in (ground.upstream, ground.downstream):
        for order in fault.orders:
            hop.order(order)
    storm.begin()
    storm.strike(ground.upstream, fault)
    storm.strike(ground.downstream, fault)
    # The conversation is cut, too, at whatever byte it is at.
    ground.control.order("cut")
    return f"{name} on both hops: {storm.end()}; {time.monotonic() - began_s:.1f} s"


def stalled_for_good(ground: Ground) -> str:
    """Connections of both hops stall and never go on; only new ones are good.

    The daemons' own patience (rack 30 s, region 60 s) has to end it.
    """
    began_s = time.monotonic()
    storm = Storm(ground)
    # The first image gets through to the region, so that the rack has something to fetch.
    ground.upstream.order(f"down stall_after={12 * MIB}")
    ground.downstream.order(f"down stall_after={2 * MIB}")
    storm.begin()
    for hop in (ground.upstream, ground.downstream):
        before = [-1]

        def is_still(hop: Hop = hop, before: list[int] = before) -> bool:
            now = hop.counts()
            is_so = now["down"] == before[-1] and now["held"] > 0
            before.append(now["down"])
            return is_so

        ground.until(is_still, "both hops to stall", pause_s=ASK_AGAIN_S)
        hop.order("new down")
    at = {hop: hop.carried_bytes for hop in (ground.upstream, ground.downstream)}
    for hop, carried_bytes in at.items():
        ground.until(
            lambda hop=hop, carried_bytes=carried_bytes: hop.carried_bytes > carried_bytes,
            "a stalled line to be left",
            pause_s=ASK_AGAIN_S,
            limit_s=STALL_LIMIT_S,
        )
    return f"stalled for good on both hops: {storm.end()}; {time.monotonic() - began_s:.1f} s"


def killed_both(ground: Ground, draw: random.Random, name: str) -> tuple[Run, ...]:
    """Region and rack killed together while bytes are in flight on both hops.

    Returns:
        A run of each; none if there never were bytes on both hops at once, which happens
        where a busy machine lets the import end before the rack has begun.
    """
    began_s = time.monotonic()
    runs = (Run(f"{name}, region"), Run(f"{name}, rack"))
    lines = (ground.importing, ground.syncing)
    ground.upstream.slow(ground.needed_bytes / 4 / 2)
    ground.downstream.slow(ground.needed_bytes / 4 / 5)
    watch = ground.fresh_rack()
    ground.fresh_region()
    base = [line.hop.carried_bytes for line in lines]
    for line in lines:
        line.daemon.start()
    at_bytes = draw.randrange(256 * 1024, 5 * MIB)
    seen: list[dict[str, int]] = []

    def both_in_flight() -> bool:
        watch.look()
        seen[:] = [line.hop.counts() for line in lines]
        return seen[1]["down"] - base[1] >= at_bytes and all(counts["held"] for counts in seen)

    deadline_s = time.monotonic() + MISS_AFTER_S
    while not both_in_flight():
        if time.monotonic() > deadline_s:
            return ()
        time.sleep(POLL_S)
    for line in draw.sample(lines, 2):
        line.daemon.kill()
    held = (ground.region_held_bytes(), ground.rack_held_bytes())
    for run, counts, was, held_bytes in zip(runs, seen, base, held, strict=True):
        carried_bytes = counts["down"] - was
        run.kills.append(Kill(carried_bytes, counts["held"], counts["streams"], held_bytes))
    watch.look()
    for place in draw.sample(range(2), 2):
        runs[place].ready_s.append(lines[place].daemon.start())
        lines[place].hop.full_speed()
    ground.await_import()
    ground.await_sync()
    for run, line, was in zip(runs, lines, base, strict=True):
        run.again_bytes = line.hop.carried_bytes - was - ground.needed_bytes
        run.spent_s = time.monotonic() - began_s
    watch.look()
    ground.compare_sync()
    ground.compare_import()
    return runs
