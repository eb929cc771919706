"""What can be asked of a rack over its admin socket. Thin: it asks, it does not decide."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet.interfaces import IReactorTime

from common.backlog import Backlog
from common.errors import WrongUsage
from common.events import Occurrence, Severity, at_least, missed_row
from common.images import ImageKey
from common.meanwhile import meanwhile
from common.pools import Threads
from common.release import release
from common.vocabulary import Question
from common.wellbeing import verdict
from rackd.event_log import EventLog
from rackd.follower import Follower
from rackd.library import Library
from rackd.rack_settings import RackSettings
from rackd.records import HeldImage, KeptImage
from rackd.scrub import Scrub

T = TypeVar("T")
Progress = Callable[[Any], None]

_PROGRESS_S = 1.0


class Admin:
    """Answers the questions of ``common.vocabulary`` that are for a rack.

    Args:
        name: the rack's name.
        library: what it holds.
        follower: the loop, which can be asked to look now.
        scrub: which can be asked to begin now.
        settings: what can be changed.
        events: what happened.
        clock: for progress.
        now: seconds since the epoch.
        on_disk: runs what blocks on the disk.
    """

    def __init__(
        self,
        name: str,
        library: Library,
        follower: Follower,
        scrub: Scrub,
        *,
        settings: RackSettings,
        events: EventLog,
        clock: IReactorTime,
        now: Callable[[], float],
        on_disk: Threads,
    ) -> None:
        self._name = name
        self._library = library
        self._follower = follower
        self._scrub = scrub
        self._settings = settings
        self._events = events
        self._clock = clock
        self._now = now
        self._on_disk = on_disk
        self._answers: dict[tuple[str, str], Callable[[Question, Progress], Awaitable[Any]]] = {
            ("status", ""): self._status,
            ("config", "list"): self._config_list,
            ("config", "get"): self._config_get,
            ("config", "set"): self._config_set,
            ("boot-resources", "read"): self._images,
            ("boot-resources", "import"): self._sync_now,
            ("events", "read"): self._read_events,
            ("scrub", ""): self._scrub_now,
        }

    async def answer(self, question: Question, progress: Progress) -> Any:
        """The answer, as what JSON knows.

        Raises:
            WrongUsage: a rack does not know this.
            RackferryError: for ``import wait``, as the sync failed.
        """
        answer = self._answers.get((question.noun, question.verb))
        if answer is None:
            raise WrongUsage(f"a rack does not answer {question.noun} {question.verb}".rstrip())
        return await answer(question, progress)

    async def _status(self, _: Question, __: Progress) -> dict[str, Any]:
        current = self._library.current
        progress = self._follower.progress
        problems = [Occurrence(each, each.at).to_row() for each in self._events.problems]
        return {
            "name": self._name,
            "release": release(),
            "now": self._now(),
            **verdict(problems),
            "status": self._follower.status,
            "region_connected": self._follower.is_connected,
            "region_generation": self._follower.generation,
            "generation": current.record.generation if current else 0,
            "held": self._library.held_view,
            "snapshot": current.name if current else "",
            "images": len(current.record.images) if current else 0,
            "size_bytes": sum(image.size_bytes for image in current.record.images)
            if current
            else 0,
            "kept": await self._follower.kept(),
            "fetched_bytes": progress[0] if progress else 0,
            "total_bytes": progress[1] if progress else 0,
            "rate_bytes_s": self._follower.rate_bytes_s,
            "bandwidth": self._settings.bandwidth,
            "waiting": self._settings.waiting,
            "free_bytes": await self._on_disk(self._library.free_bytes),
            "scrub": self._scrub.status(),
            "problems": problems,
        }

    async def _config_list(self, _: Question, __: Progress) -> list[dict[str, Any]]:
        return self._settings.list_all()

    async def _config_get(self, question: Question, _: Progress) -> dict[str, Any]:
        return self._settings.one(question.ids[0])

    async def _config_set(self, question: Question, _: Progress) -> list[dict[str, Any]]:
        texts = {name: str(value) for name, value in question.parameters.items()}
        return await self._settings.change(texts)

    async def _images(self, question: Question, _: Progress) -> list[dict[str, Any]]:
        current = self._library.current
        wanted = question.parameters.get("type", "all")
        if wanted not in {"synced", "uploaded", "all"}:
            raise WrongUsage(f'type is synced, uploaded or all, not "{wanted}"')
        if current is None or wanted == "uploaded":
            # A rack cannot tell an upload from a synced image: all come from its region.
            return []
        state = "complete" if current.is_complete else "damaged"
        held: list[tuple[HeldImage | KeptImage, str, int]] = [
            (each, state, each.size_bytes) for each in current.record.images
        ]
        kept = current.record.kept
        held_bytes = await self._on_disk(lambda: [self._library.held_bytes(each) for each in kept])
        held += [(each, "kept", size) for each, size in zip(kept, held_bytes, strict=True)]
        return [_image_row(number, *each) for number, each in enumerate(held, 1)]

    async def _sync_now(self, question: Question, progress: Progress) -> dict[str, Any]:
        if "wait" not in question.flags:
            self._follower.trigger()
            return {"outcome": "started", "published": [], "fetched_bytes": 0}
        outcome = await self._telling(self._follower.sync_now(), self._progress, progress)
        current = self._library.current
        return {
            "outcome": "synced",
            "generation": outcome.generation,
            "published": [image.key for image in current.record.images] if current else [],
            "fetched_bytes": outcome.fetched_bytes,
        }

    async def _telling(
        self, work: Awaitable[T], say: Callable[[], dict[str, Any]], progress: Progress
    ) -> T:
        """Wait for ``work``, and say how far it is."""

        async def tell() -> None:
            progress(say())

        return await meanwhile(work, tell, _PROGRESS_S, self._clock)

    async def _scrub_now(self, question: Question, progress: Progress) -> dict[str, Any]:
        if "wait" not in question.flags:
            self._scrub.start()
            return {"outcome": "started", **self._scrub.status()}
        ended = await self._telling(self._scrub.wait(), self._scrub_progress, progress)
        return {"outcome": "checked", **ended}

    def _scrub_progress(self) -> dict[str, Any]:
        status = self._scrub.status()
        return {
            "phase": "checking",
            "checked_bytes": status["checked_bytes"],
            "total_bytes": status["total_bytes"],
        }

    def _progress(self) -> dict[str, Any]:
        progress = self._follower.progress
        if progress is None:
            return {"phase": "asking the region"}
        phase = self._settings.waiting or "fetching"
        return {
            "phase": phase,
            "fetched_bytes": progress[0],
            "total_bytes": progress[1],
            "parts": self._follower.parts(),
        }

    async def _read_events(self, question: Question, _: Progress) -> Any:
        level = str(question.parameters.get("level", Severity.INFO))
        if level not in set(Severity):
            raise WrongUsage("level is info, warning or error", object=level, code="wrong-value")
        code = str(question.parameters.get("code", ""))
        cleared = "all" in question.flags
        if "follow" in question.flags:
            return self._follow_events(Severity(level), cleared=cleared, code=code)
        found = self._events.read(Severity(level), cleared=cleared, code=code)
        return [each.to_row() for each in found][::-1]

    async def _follow_events(
        self, level: Severity, *, cleared: bool, code: str
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The events there are, oldest first; then each that opens, clears or happens."""
        backlog: Backlog[Occurrence] = Backlog()
        known = self._events.read(level, cleared=cleared, code=code)
        unsubscribe = self._events.subscribe(backlog.add)
        try:
            for each in known:
                yield each.to_row()
            while True:
                changed, missed = await backlog.take()
                if missed:
                    yield missed_row(missed, self._now())
                for each in changed:
                    if each.event.severity in at_least(level) and code in {"", each.event.code}:
                        yield each.to_row()
        finally:
            unsubscribe()


def _image_row(
    number: int, image: HeldImage | KeptImage, state: str, complete_bytes: int
) -> dict[str, Any]:
    key = ImageKey.parse(image.key)
    return {
        "id": number,
        "type": "synced",
        "name": f"{key.os}/{key.release}",
        "architecture": f"{key.arch}/{key.subarch}",
        "subarches": key.subarch,
        "label": key.label,
        "version": image.version,
        "title": image.title,
        "state": state,
        "size_bytes": image.size_bytes,
        "complete_bytes": complete_bytes,
        "pinned": None,  # only the region knows
    }
