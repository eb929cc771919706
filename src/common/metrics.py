"""What a daemon measures, in the text that Prometheus reads.

Every metric is a row of a table; its meaning there is the one in docs/monitoring.md, too.
Values are gathered when somebody asks, and nothing is counted that nobody reads. Labels are
names that admins gave (racks, sources) and words of ours (states, error codes), so that
there are never more series than there are such things.

The format is that of
https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial

import attrs
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family

from common.events import Severity

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

Samples = Mapping[tuple[str, ...], float | None]
"""By the values of the labels, in their order. None: not known now, and not shown."""


class Kind(StrEnum):
    """GAUGE: goes up and down. COUNTER: only up, and from 0 again with each start."""

    GAUGE = "gauge"
    COUNTER = "counter"


@attrs.frozen
class Metric:
    """A row of a daemon's table."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    def family(self, samples: Samples) -> Family:
        """With its values, as the library knows it."""
        made = CounterMetricFamily if self.kind is Kind.COUNTER else GaugeMetricFamily
        family = made(self.name, self.help, labels=self.labels)
        for labels, value in samples.items():
            if value is not None:
                family.add_metric(labels, value)
        return family


_GAUGE = Kind.GAUGE
BUILD = Metric("rackferry_build_info", _GAUGE, "1; the release is a label", ("release",))
PROBLEMS = Metric("rackferry_problems", _GAUGE, "open problems", ("severity",))
CERTIFICATE_END = Metric(
    "rackferry_certificate_expiry_timestamp_seconds",
    _GAUGE,
    "when a certificate expires",
    ("certificate",),
)
REACTOR_LAG = Metric(
    "rackferry_reactor_lag_seconds",
    _GAUGE,
    "the worst delay of the reactor in the last ten seconds",
)
OF_DAEMONS = (BUILD, PROBLEMS, CERTIFICATE_END, REACTOR_LAG)
"""What both daemons measure; the last rows of their tables."""


def of_daemon(
    release: str,
    problems: Iterable[Severity],
    certificate_ends: Mapping[str, float | None],
    reactor_lag_s: float,
) -> Mapping[str, Samples]:
    """The samples of these; ``problems`` are the severities of all that are open."""
    counts = Counter(problems)
    return {
        BUILD.name: {(release,): 1},
        PROBLEMS.name: {(each.value,): counts[each] for each in (Severity.WARNING, Severity.ERROR)},
        CERTIFICATE_END.name: {(name,): end for name, end in certificate_ends.items()},
        REACTOR_LAG.name: {(): reactor_lag_s},
    }


class Tally:
    """What happened since the start: counts by the name of the metric and its labels."""

    def __init__(self) -> None:
        self._counts: defaultdict[str, defaultdict[tuple[str, ...], float]]
        self._counts = defaultdict(partial(defaultdict, float))

    def add(self, name: str, amount: float = 1, *labels: str) -> None:
        """Count."""
        self._counts[name][labels] += amount

    @property
    def samples(self) -> Mapping[str, Samples]:
        """All counts so far."""
        return self._counts


@attrs.frozen
class _Families:
    """What the library collects from."""

    families: Sequence[Family]

    def collect(self) -> Iterator[Family]:
        yield from self.families
        yield from ProcessCollector(registry=None).collect()


def exposition(table: Iterable[Metric], *values: Mapping[str, Samples]) -> bytes:
    """The metrics of a table, and those of the process (memory, CPU, file descriptors).

    Args:
        table: every metric there is.
        values: the samples of each; a counter without any is shown only if it has no labels.

    Raises:
        ValueError: a value of a metric that is not in the table.
    """
    found = {name: samples for each in values for name, samples in each.items()}
    families = [metric.family(found.pop(metric.name, _nothing_yet(metric))) for metric in table]
    if found:
        raise ValueError(f"not in the table of metrics: {', '.join(sorted(found))}")
    return generate_latest(_Families(families))


def _nothing_yet(metric: Metric) -> Samples:
    """A count of nothing is 0; of a gauge that was not measured there is nothing to say."""
    return {(): 0} if metric.kind is Kind.COUNTER and not metric.labels else {}
