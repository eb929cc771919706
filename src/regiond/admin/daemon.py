"""Answers about the region as a whole: what happened, and how things are."""

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime

from common.errors import WrongUsage
from common.events import Severity
from common.meanwhile import meanwhile
from common.vocabulary import Question
from common.wellbeing import verdict
from regiond.admin.asked import Tell
from regiond.boot_sources import BootSources
from regiond.canaries import Canaries
from regiond.fleet import RegionFleet
from regiond.import_status import ImportStatus
from regiond.region import Region
from regiond.scrub import Scrub
from regiond.sync_standing import to_look_at

_PROGRESS_S = 1.0


class DaemonAnswers:
    """What is answered about the region as a whole."""

    def __init__(
        self,
        region: Region,
        boot_sources: BootSources,
        fleet: RegionFleet,
        canaries: Canaries,
        imports: ImportStatus,
        *,
        scrub: Scrub,
        identity: Callable[[], dict[str, Any]],
        clock: IReactorTime,
    ) -> None:
        self._region = region
        self._boot_sources = boot_sources
        self._fleet = fleet
        self._canaries = canaries
        self._imports = imports
        self._scrub = scrub
        self._identity = identity
        self._clock = clock

    async def events_read(self, question: Question, _: Tell) -> Any:
        level = _severity(str(question.parameters.get("level", "info")))
        code = str(question.parameters.get("code", ""))
        cleared = "all" in question.flags
        if "follow" in question.flags:
            return self._region.follow_events(level, cleared=cleared, code=code)
        return await self._region.list_events(level, cleared=cleared, code=code)

    async def status(self, _: Question, __: Tell) -> Any:
        overview, racks = await self._region.overview(), await self._fleet.list_racks()
        now, problems = self._region.now(), overview["problems"]
        return {
            **self._identity(),
            "now": now,
            **verdict(problems, to_look_at(racks, now, problems)),
            **overview,
            "sources": await self._boot_sources.list_all(),
            "racks": racks,
            "canaries": await self._canaries.row(),
            "import": await self._imports.row(),
            "scrub": await self._scrub.status(),
        }

    async def scrub(self, question: Question, tell: Tell) -> Any:
        if "wait" not in question.flags:
            self._scrub.start()
            return {"outcome": "started", **await self._scrub.status()}

        async def say() -> None:
            status = await self._scrub.status()
            sizes = {name: status[name] for name in ("checked_bytes", "total_bytes")}
            tell({"phase": "checking", **sizes})

        ended = await meanwhile(self._scrub.wait(), say, _PROGRESS_S, self._clock)
        return {"outcome": "checked", **ended}


def _severity(level: str) -> Severity:
    try:
        return Severity(level)
    except ValueError:
        raise WrongUsage(
            "level is info, warning or error", object=level, code="wrong-value"
        ) from None
