"""What an admin would want to know of what a source says (pure): events without a failure.

They follow from its documents, its selections and the day, so that the same state always
gives the same events; each is cleared when its cause is gone.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import attrs

from common.errors import SourceError
from common.events import Event, Severity
from common.images import Selection
from regiond.import_plan import HeldImage, ImportPlan, Retirement
from regiond.import_run import IMPORT
from regiond.sources.catalogue import Catalogue
from regiond.sources.releases import SUPPORTED, Releases
from regiond.sources.simplestreams import Skipped

MOST_SHOWN = 5  # in one event
SUPPORT_ENDS_SOON = timedelta(days=30)
PIN_UNWANTED = "pin-unwanted"


def source_notices(
    name: str, selections: Sequence[Selection], found: Catalogue, today: date
) -> tuple[Event, ...]:
    """The events of a source whose state is all right, as far as it can be used.

    Args:
        name: how events call it.
        selections: what is wanted of it.
        found: what it offers.
        today: decides whose support ends soon.
    """
    return (
        *_products_skipped(name, found),
        *_publisher_notices(name, found),
        *_support_ends(name, selections, Releases.of(found.newest, today)),
    )


def _products_skipped(name: str, found: Catalogue) -> Iterator[Event]:
    """One event per source, however many of its products are faulty."""
    if found.malformed:
        yield Event(
            "products-skipped",
            Severity.WARNING,
            name,
            f"{len(found.malformed)} products are left out: {_some(found.malformed)}",
            f"boot-source check lists all of {name}; ask whoever publishes it",
        )


def _publisher_notices(name: str, found: Catalogue) -> Iterator[Event]:
    """What the publisher says about releases of MAAS."""
    said = [
        f"MAAS {notice.maas_version}: {notice.message}" if notice.maas_version else notice.message
        for notice in found.notices
    ]
    if said:
        yield Event("source-notice", Severity.INFO, name, _some(said))


def _support_ends(
    name: str, selections: Sequence[Selection], releases: Releases
) -> Iterator[Event]:
    """Which releases will go by themselves before long."""
    going = [
        f"{os}/{release} on {end}"
        for (os, release), end in sorted(releases.ends.items())
        if end is not None
        and releases.today <= end <= releases.today + SUPPORT_ENDS_SOON
        and _is_only_supported(os, release, selections, releases)
    ]
    if going:
        yield Event(
            "selection-support-ends",
            Severity.WARNING,
            name,
            f"support ends of {_some(going)}; a selection means it only as supported, so its "
            "images go the day after",
            "to keep them, select the release by its name",
        )


def _is_only_supported(
    os: str, release: str, selections: Sequence[Selection], releases: Releases
) -> bool:
    """Whether a release is wanted as a supported one, and not in any other way."""
    meaning = {each.release for each in selections if releases.means(each, os, release)}
    return meaning == {SUPPORTED}


def plan_obstacles(plan: ImportPlan) -> tuple[Event, ...]:
    """What keeps a plan from doing all that is selected."""
    found = []
    if plan.guarded:
        found.append(
            Event("import-guarded", Severity.WARNING, IMPORT, plan.reason,
                  "correct the selection, or delete it to let its images go")
        )  # fmt: skip
    if plan.refused:
        reasons = "; ".join(map(str, plan.refused))
        first = Event.of(contradiction(plan.refused[0]))
        found.append(attrs.evolve(first, object=IMPORT, cause=reasons))
    return tuple(found)


def contradiction(refused: Skipped) -> SourceError:
    """Why an image that contradicts what is held is not imported."""
    return SourceError(
        str(refused),
        object=refused.product,
        code="source-contradiction",
        remedy="tell those who run the source; its other images are imported",
    )


def support_ended(retired: Sequence[Retirement]) -> tuple[Event, ...]:
    """One event for each release that goes because its support has ended."""
    ended = {
        (gone.key.os, gone.key.release): gone.support_ended
        for gone in retired
        if gone.support_ended is not None
    }
    return tuple(
        Event(
            "selection-support-ended",
            Severity.INFO,
            f"{os}/{release}",
            f"its support ended on {end}, and it was selected as supported: its images go",
            "to have them again, select the release by its name",
        )
        for (os, release), end in sorted(ended.items())
    )


def pins_unwanted(images: Sequence[HeldImage]) -> tuple[Event, ...]:
    """One event for each image that is wanted by nothing but its pin."""
    return tuple(
        Event(
            "pin-unwanted",
            Severity.INFO,
            str(image.key),
            f"no selection means it any more; {image.version} stays, since it is pinned",
            f"boot-resource unpin {image.id} lets it go with the next import",
        )
        for image in images
    )


def _some(what: Sequence[object]) -> str:
    """The first few, for one line."""
    return "; ".join(map(str, what[:MOST_SHOWN])) + ("; ..." if len(what) > MOST_SHOWN else "")
