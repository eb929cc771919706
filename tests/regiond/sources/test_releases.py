"""Which releases a selection means."""

from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.images import Selection
from regiond.sources.catalogue import Offer
from regiond.sources.matching import select
from regiond.sources.releases import Releases, day_of
from tests.doubles.catalogues import TODAY, bootloader, offers_of, ubuntu
from tests.doubles.stream_documents import product

ENDED, LAST_DAY, LATER = "2025-07-31", "2025-08-01", "2029-05-31"
OFFERS = offers_of(
    *ubuntu("focal", "20.04", support_eol=ENDED),
    *ubuntu("jammy", "22.04", support_eol=LAST_DAY),
    *ubuntu("noble", "24.04", support_eol=LATER),
    *ubuntu("plucky", "25.04", support_eol=""),
    bootloader(),
)


def meant(
    selection: Selection, offers: tuple[Offer, ...] = OFFERS, today: date = TODAY
) -> set[str]:
    """The releases whose images are selected."""
    chosen = select((selection,), offers, today)
    return {offer.key.release for offer in chosen if offer.bootloader_type is None}


class SupportedTests(SynchronousTestCase):
    """``supported``"""

    wanted = Selection("ubuntu", "supported", ("amd64",))

    def test_ends(self) -> None:
        """The last day counts, the day after does not, and no end is no end."""
        self.assertEqual(meant(self.wanted), {"jammy", "noble", "plucky"})
        self.assertEqual(meant(self.wanted, today=date(2025, 8, 2)), {"noble", "plucky"})
        self.assertEqual(meant(self.wanted, today=date(2099, 1, 1)), {"plucky"})

    def test_odd_ends(self) -> None:
        """What is no date says nothing about the end."""
        for text in ("soon", "31.07.2025", "2025-13-01", "0"):
            offers = offers_of(*ubuntu("focal", "20.04", support_eol=text))
            self.assertEqual(meant(self.wanted, offers), {"focal"}, text)

    def test_kernels_that_differ(self) -> None:
        """A release is supported as long as one of its kernels is, and then all are selected."""
        offers = offers_of(
            *ubuntu("focal", "20.04", support_eol=ENDED),
            *ubuntu("focal", "20.04", "arm64", support_eol=LATER),
        )
        found = select((Selection("ubuntu", "supported"),), offers, TODAY)
        self.assertEqual({offer.key.arch for offer in found}, {"amd64", "arm64"})

    def test_other_systems(self) -> None:
        """Only the releases of that os, which may be a glob."""
        centos = product(os="centos", release="centos70", subarch="generic", support_eol=ENDED)
        debian = product(os="debian", release="trixie", subarch="generic", support_eol=LATER)
        offers = (*OFFERS, *offers_of({"name": "c", **centos}, {"name": "d", **debian}))
        self.assertEqual(meant(Selection("debian", "supported"), offers), {"trixie"})
        self.assertEqual(meant(Selection("centos", "supported"), offers), set())
        self.assertEqual(
            meant(Selection("*", "supported"), offers), {"jammy", "noble", "plucky", "trixie"}
        )

    @settings(max_examples=50)
    @given(st.dates(date(2020, 1, 1), date(2040, 1, 1)), st.integers(0, 4000))
    def test_time_only_takes_away(self, day: date, later_days: int) -> None:
        """With the same catalogue a later day never means more releases."""
        later = date.fromordinal(day.toordinal() + later_days)
        self.assertLessEqual(meant(self.wanted, today=later), meant(self.wanted, today=day))


class LatestLtsTests(SynchronousTestCase):
    """``latest-lts``"""

    wanted = Selection("ubuntu", "latest-lts")

    def test_newest(self) -> None:
        """latest-lts is the newest LTS, not the newest release."""
        self.assertEqual(meant(self.wanted), {"noble"})

    def test_none(self) -> None:
        """Where no LTS is offered, latest-lts selects nothing."""
        self.assertEqual(meant(self.wanted, offers_of(*ubuntu("plucky", "25.04"))), set())

    def test_numbers(self) -> None:
        """Versions compare as numbers: 22.04 is newer than 8.04."""
        hardy = product(release="hardy", version="8.04", release_title="8.04 LTS")
        self.assertEqual(meant(self.wanted, offers_of(*ubuntu("jammy", "22.04"), hardy)), {"jammy"})

    def test_ended(self) -> None:
        """The latest LTS is the latest, however old the catalogue is."""
        self.assertEqual(meant(self.wanted, today=date(2099, 1, 1)), {"noble"})

    def test_each_os(self) -> None:
        """With a glob for the os it is the latest LTS of each."""
        other = product(os="xubuntu", release="focal", version="20.04", release_title="20.04 LTS")
        offers = (*OFFERS, *offers_of({"name": "x:v3:y", **other}))
        self.assertEqual(meant(Selection("*ubuntu", "latest-lts"), offers), {"noble", "focal"})


class ReleasesTests(SynchronousTestCase):
    """``Releases.means``, for what is not offered any more"""

    def test_vanished(self) -> None:
        """Nothing says that a vanished release is not supported; the latest LTS is known."""
        releases = Releases.of(OFFERS, TODAY)
        table = {"supported": True, "latest-lts": False, "bionic": True, "bio*": True, "n*": False}
        for word, means in table.items():
            selection = Selection("ubuntu", word)
            self.assertEqual(releases.means(selection, "ubuntu", "bionic"), means, word)
            self.assertFalse(releases.means(selection, "centos", "bionic"))

    def test_empty(self) -> None:
        """Where nothing is offered, every release may have been the latest LTS."""
        releases = Releases.of((), TODAY)
        for word in ("supported", "latest-lts"):
            self.assertTrue(releases.means(Selection("ubuntu", word), "ubuntu", "jammy"))


class DayTests(SynchronousTestCase):
    """``day_of``"""

    def test_utc(self) -> None:
        """Days are those of UTC, whatever the machine's zone."""
        self.assertEqual(day_of(0.0), date(1970, 1, 1))
        self.assertEqual(day_of(86399.9), date(1970, 1, 1))
        self.assertEqual(day_of(86400.0), date(1970, 1, 2))
