"""What one import has come to (values)."""

from typing import Any

import attrs

from common.errors import RackferryError
from common.events import Event, Severity
from common.images import ImageKey
from common.pace import Pace

IMPORT = "import"  # as events and messages call it


@attrs.define
class Progress:
    """How far the running import is."""

    phase: str = "reading sources"
    fetched_bytes: int = 0
    total_bytes: int = 0
    published: int = 0
    total_images: int = 0
    _pace: Pace = Pace()  # noqa: RUF009  (frozen)

    def fetched(self, more_bytes: int, at_s: float) -> None:
        """So many bytes have come."""
        self.fetched_bytes += more_bytes
        self._pace = self._pace.saw(at_s, self.fetched_bytes)

    def row(self) -> dict[str, Any]:
        """As the shell and the page show it; ``rate_bytes_s`` is None while it is not known."""
        return {
            "phase": self.phase,
            "fetched_bytes": self.fetched_bytes,
            "total_bytes": self.total_bytes,
            "rate_bytes_s": self._pace.bytes_s if self.phase == "fetching" else None,
            "published": self.published,
            "total_images": self.total_images,
        }


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
