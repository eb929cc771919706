"""Which releases a selection means (pure).

A release is a name, a glob, or a word whose meaning moves with the catalogue and the day:

* ``latest-lts``: of each os the newest release whose title ends in LTS, by its version,
  then by its end of support.
* ``supported``: every release whose end of support is not past. The last day of support
  still counts, and so does a release of which no end is known.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase

import attrs

from common.images import Selection
from regiond.sources.catalogue import Offer

LATEST_LTS = "latest-lts"
SUPPORTED = "supported"
SYMBOLIC = (LATEST_LTS, SUPPORTED)


def day_of(now: float) -> date:
    """The day (UTC) of a time in seconds since the epoch."""
    return datetime.fromtimestamp(now, UTC).date()


@attrs.frozen
class Releases:
    """The releases that a source offers, as a day sees them.

    Attributes:
        ends: by os and release, the last day of support; None if none is given. Where the
            products of a release differ, the latest counts.
        latest_lts: by os.
        today: the day.
    """

    ends: Mapping[tuple[str, str], date | None]
    latest_lts: Mapping[str, str]
    today: date

    @classmethod
    def of(cls, offers: Iterable[Offer], today: date) -> "Releases":
        """Those of these images; bootloaders have none."""
        ends: dict[tuple[str, str], date | None] = {}
        newest: dict[str, Offer] = {}
        for offer in offers:
            if offer.bootloader_type is not None:
                continue
            place = offer.key.os, offer.key.release
            known, end = ends.get(place), _end(offer.support_eol)
            ends[place] = max(known, end) if known and end else known or end
            if "LTS" in offer.release_title.split():
                newest[offer.key.os] = max(newest.get(offer.key.os, offer), offer, key=_age)
        return cls(ends, {os: offer.key.release for os, offer in newest.items()}, today)

    def is_supported(self, os: str, release: str) -> bool:
        """Whether its support has not ended, as far as is known."""
        end = self.ends.get((os, release))
        return end is None or end >= self.today

    def means(self, selection: Selection, os: str, release: str) -> bool:
        """Whether the selection means this release, offered or not.

        Of a release that is not offered nothing says that its support has ended; and where
        no LTS is offered, any other release may have been the latest.
        """
        if not fnmatchcase(os, selection.os):
            return False
        if selection.release == SUPPORTED:
            return self.is_supported(os, release)
        if selection.release == LATEST_LTS:
            latest = self.latest_lts.get(os)
            return release == latest if latest else (os, release) not in self.ends
        return fnmatchcase(release, selection.release)


def _end(support_eol: str) -> date | None:
    """The last day of support; what is no date says nothing."""
    try:
        return date.fromisoformat(support_eol)
    except ValueError:
        return None


def _age(offer: Offer) -> tuple[tuple[int, ...], str, str]:
    title_version = offer.os_version or offer.release_title
    numbers = tuple(int(number) for number in re.findall(r"\d+", title_version))
    return numbers, offer.support_eol, offer.key.release
