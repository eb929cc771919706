"""What there is to say of an import's plan, beside doing it: failures and events of its run."""

from collections.abc import Iterable

from common.errors import Refused
from common.events import Event, Severity
from regiond.import_plan import ImportPlan
from regiond.import_run import IMPORT, Run
from regiond.notices import (
    PIN_UNWANTED,
    contradiction,
    pins_unwanted,
    plan_obstacles,
    support_ended,
)
from regiond.store import events, pins
from regiond.store.database import Database
from regiond.upstream import Look

VANISHED = "image-vanished"


def note_plan(run: Run, plan: ImportPlan) -> None:
    """What goes, what was withheld, and what contradicts itself."""
    run.looked_at.add(IMPORT)
    run.looked_at |= {str(gone.key) for gone in plan.retire}
    for event in support_ended(plan.retire):
        run.note(event)
    for event in plan_obstacles(plan):
        run.note(event)
    for refused in plan.refused:
        run.failed[refused.product] = contradiction(refused)


async def note_vanished(
    database: Database, run: Run, plan: ImportPlan, looks: Iterable[Look]
) -> None:
    """Only a source that was read just now can have taken something away, or brought it back."""
    read = {look.source.id for look in looks if look.reading is not None}
    unread = {str(gone.key) for gone in plan.vanished if gone.source_id not in read}
    for kept in await database.read(events.list_events):
        if kept.event.code == VANISHED and kept.event.object not in unread:
            run.looked_at.add(kept.event.object)
    for gone in plan.vanished:
        if gone.source_id in read:
            run.note(
                Event("image-vanished", Severity.INFO, str(gone.key),
                      f"boot-source {gone.source_id} no longer offers it; what is held stays",
                      "if it is not wanted any more, delete its selection; or, where that "
                      f"means others, too: boot-resource delete {gone.id}")
            )  # fmt: skip


async def note_pinned(database: Database, run: Run, plan: ImportPlan, now: float) -> None:
    """What pins keep back, and what nothing but a pin keeps."""
    waiting = {each.pinned.id: each.offer.version for each in plan.waiting}
    await database.write(pins.note_waiting, waiting, now)
    for kept in await database.read(events.list_events):
        if kept.event.code == PIN_UNWANTED:
            run.looked_at.add(kept.event.object)
    for event in pins_unwanted(plan.unwanted):
        run.note(event)


def bundle_older(look: Look) -> Refused:
    """What a bundle is told whose documents are older than those that are held."""
    reasons = "; ".join(look.reading.lagging) if look.reading else ""
    return Refused(
        f"the bundle is older than what was imported before: {reasons}",
        object=look.name,
        code="bundle-older",
        remedy="nothing; or, to go back, boot-source update "
        f"{look.source.id} accept_rollback=true lets it, once",
    )
