"""Answers about the region as a whole: what happened, and how things are."""

from collections.abc import Callable
from typing import Any

from common.errors import WrongUsage
from common.events import Severity
from common.vocabulary import Question
from common.wellbeing import verdict
from regiond.admin.asked import Tell
from regiond.boot_sources import BootSources
from regiond.canaries import Canaries
from regiond.fleet import RegionFleet
from regiond.import_status import ImportStatus
from regiond.region import Region
from regiond.sync_standing import to_look_at


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
        identity: Callable[[], dict[str, Any]],
    ) -> None:
        self._region = region
        self._boot_sources = boot_sources
        self._fleet = fleet
        self._canaries = canaries
        self._imports = imports
        self._identity = identity

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
        }


def _severity(level: str) -> Severity:
    try:
        return Severity(level)
    except ValueError:
        raise WrongUsage(
            "level is info, warning or error", object=level, code="wrong-value"
        ) from None
