"""How fast a region imports and serves at this moment: its throttles, and what they go by."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime

from common.bandwidth import UNLIMITED, read_windows
from common.throttle import Throttle
from common.timetable import Timetable
from regiond.settings_table import IMPORT_RATE, RACKS_RATE
from regiond.store.sources import BootSource


class _Limited:
    """A throttle that goes by a text."""

    def __init__(self, clock: IReactorTime, now: Callable[[], float]) -> None:
        self._timetable = Timetable(now)
        self.throttle = Throttle(self._timetable.limit, clock)

    def heed(self, text: str) -> None:
        self._timetable.windows = read_windows(text)


class Limits:
    """See the module.

    Args:
        clock: for the time that passes.
        now: seconds since the epoch.
    """

    def __init__(self, clock: IReactorTime, now: Callable[[], float]) -> None:
        self._clock = clock
        self._now = now
        self._imports = _Limited(clock, now)
        self._racks = _Limited(clock, now)
        self._sources: dict[int, _Limited] = {}

    @property
    def racks(self) -> Throttle:
        """Holds all racks together; each rack is a group of it."""
        return self._racks.throttle

    def of_source(self, source_id: int) -> Sequence[Throttle]:
        """What holds all that comes from a source: its own limit, and that of all sources."""
        own = self._sources.get(source_id)
        return ([own.throttle] if own else []) + [self._imports.throttle]

    def heed_settings(self, values: Mapping[str, Any]) -> None:
        """Go by these settings from now on."""
        self._imports.heed(values[IMPORT_RATE])
        self._racks.heed(values[RACKS_RATE])

    def heed_sources(self, sources: Iterable[BootSource]) -> None:
        """Go by the limits of these sources from now on."""
        texts = {each.id: each.rate_limit for each in sources}
        for source_id in self._sources.keys() | texts.keys():
            text = texts.get(source_id)
            if text is not None or source_id in self._sources:
                limited = self._sources.setdefault(source_id, _Limited(self._clock, self._now))
                limited.heed(text or UNLIMITED)
