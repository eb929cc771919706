"""What a check of the database found, after an unclean end or by the scrub, as an event for admins."""

from common.events import Event, Severity
from regiond.store import events
from regiond.store.database import Database

OBJECT = "database"


async def note_damage(database: Database, now: float) -> None:
    """Say what is damaged, or clear what was said at an earlier start; usually writes nothing."""
    damaged = Event(
        "database-damaged",
        Severity.ERROR,
        OBJECT,
        "; ".join(database.problems),
        "what verifies is served; put back a copy of the database, or move it away and begin anew",
    )
    known = await database.read(events.list_events)
    if database.problems or any(each.event.object == OBJECT for each in known):
        raised = (damaged,) if database.problems else ()
        await database.write(events.settle, raised, {OBJECT}, now)
