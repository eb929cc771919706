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
        latest_number: by os, that of the latest LTS.
        today: the day.
    """

    ends: Mapping[tuple[str, str], date | None]
    latest_lts: Mapping[str, str]
    today: date
    latest_number: Mapping[str, tuple[int, ...]] = attrs.field(factory=dict)

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
            if lts_of(offer.os_version, offer.release_title):
                newest[offer.key.os] = max(newest.get(offer.key.os, offer), offer, key=_age)
        return cls(
            ends,
            {os: offer.key.release for os, offer in newest.items()},
            today,
            {os: _age(offer)[0] for os, offer in newest.items()},
        )

    def lacks_lts(self, os: str, release: str, lts: str) -> bool:
        """Whether a release is not offered at all, and is an LTS newer than any that is.

        Args:
            os: whose.
            release: its name.
            lts: its ``lts_of``.
        """
        newest = self.latest_number.get(os, ())
        return (os, release) not in self.ends and bool(lts) and _number(lts) > newest

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


def lts_of(os_version: str, release_title: str) -> str:
    """What tells the number of an LTS; "" for any other release."""
    return (os_version or release_title) if "LTS" in release_title.split() else ""


def _age(offer: Offer) -> tuple[tuple[int, ...], str, str]:
    return (
        _number(lts_of(offer.os_version, offer.release_title)),
        offer.support_eol,
        offer.key.release,
    )


def _number(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))
