"""What admins can change of a rack at run time, and how fast it may fetch at this moment.

What is set is kept in ``state_dir`` and goes before rackd.toml, whose value is the default.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from common import durable
from common.bandwidth import Window, read_windows, shown_windows
from common.canonical import canonical_json, parse
from common.errors import RackferryError
from common.pools import Threads
from common.settings import LIMITS, Setting, Table
from common.throttle import Throttle
from common.timetable import Timetable

BANDWIDTH = "bandwidth"

_log = Logger()


class RackSettings:
    """The settings of a rack.

    Args:
        bandwidth: the rules of rackd.toml.
        path: where is kept what was set.
        clock: for the time that passes.
        now: seconds since the epoch.
        on_disk: runs what blocks on the disk.

    Attributes:
        throttle: holds everything that is fetched to the limit of the moment.
    """

    def __init__(
        self,
        bandwidth: tuple[Window, ...],
        path: Path,
        *,
        clock: IReactorTime,
        now: Callable[[], float],
        on_disk: Threads,
    ) -> None:
        default = shown_windows(bandwidth)
        self._table = Table((Setting(BANDWIDTH, default, LIMITS, "how fast images are fetched"),))
        self._path = path
        self._on_disk = on_disk
        self._timetable = Timetable(now)
        self._turn = DeferredLock()
        self.throttle = Throttle(self._timetable.limit, clock)
        self._hold({})

    def open(self) -> None:
        """Read what is kept; blocks. What cannot be read is as if it were not there."""
        try:
            self._hold(_read(self._table, self._path))
        except (RackferryError, OSError) as error:
            _log.warn("{path} is not heeded: {error}", path=self._path, error=error)

    @property
    def bandwidth(self) -> str:
        """The rules that hold, as they are typed."""
        return str(self._values[BANDWIDTH])

    @property
    def waiting(self) -> str:
        """What transfers wait for; "" if they do not wait."""
        if not self.throttle.is_blocked:
            return ""
        until = self._timetable.until()
        return f"waiting for the bandwidth window until {until}" if until else "bandwidth is 0"

    def list_all(self) -> list[dict[str, Any]]:
        """Every setting."""
        return [each.row(self._values[each.name]) for each in self._table.settings]

    def one(self, name: str) -> dict[str, Any]:
        """One setting.

        Raises:
            NotFound: code ``setting-unknown``.
        """
        return self._table.find(name).row(self._values[name])

    async def change(self, texts: Mapping[str, str]) -> list[dict[str, Any]]:
        """Set these, all or none; an empty text gives a setting its default back.

        Raises:
            NotFound: code ``setting-unknown``.
            WrongUsage: one of them cannot be that, or there is none.
            NoSpace, StorageError: it cannot be kept, and is not changed.
        """
        changes = self._table.read_changes(texts)
        await self._turn.acquire()
        try:
            merged = {**self._kept, **changes}
            kept = {name: value for name, value in merged.items() if value is not None}
            await self._on_disk(partial(durable.write_durably, self._path, canonical_json(kept)))
            self._hold(kept)
        finally:
            self._turn.release()
        return [self.one(name) for name in changes]

    def _hold(self, kept: Mapping[str, Any]) -> None:
        self._kept = kept
        self._values = self._table.all_values(kept)
        self._timetable.windows = read_windows(self.bandwidth)


def _read(table: Table, path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    texts = parse(dict[str, str], content, path.name)
    return table.read_changes(texts) if texts else {}
