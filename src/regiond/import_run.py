"""What one import has come to (values)."""

import attrs

from common.errors import RackferryError
from common.events import Event, Severity
from common.images import ImageKey

IMPORT = "import"  # as events and messages call it


@attrs.define
class Progress:
    """How far the running import is."""

    phase: str = "reading sources"
    fetched_bytes: int = 0
    total_bytes: int = 0
    published: int = 0
    total_images: int = 0


@attrs.define
class Run:
    """What one import has come to.

    ``failed``: what failed, and why. ``left_out``: selected images that a bundle does not bring.
    """

    epoch: int
    progress: Progress
    raised: dict[tuple[str, str], Event] = attrs.Factory(dict)
    looked_at: set[str] = attrs.Factory(set)
    published: list[ImageKey] = attrs.Factory(list)
    retired: list[ImageKey] = attrs.Factory(list)
    retired_ids: set[int] = attrs.Factory(set)
    failed: dict[str, RackferryError] = attrs.Factory(dict)
    left_out: list[ImageKey] = attrs.Factory(list)

    def note(self, event: Event) -> None:
        """Something an admin would want to know."""
        self.raised[event.code, event.object] = event

    def lost(self, error: RackferryError) -> None:
        """A source is not any more what was read; the next import that gets on clears it."""
        self.failed[error.object] = error
        self.note(about_import(error, Severity.WARNING))


def about_import(error: RackferryError, severity: Severity = Severity.ERROR) -> Event:
    """The event of what concerns the whole import; the next one that gets on clears it."""
    about = f"{error.object}: " if error.object not in {"", IMPORT} else ""
    return attrs.evolve(Event.of(error, severity), object=IMPORT, cause=about + error.message)
