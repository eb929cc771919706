"""What an admin is told of a source that can be used."""

from datetime import date

import attrs
from twisted.trial.unittest import SynchronousTestCase

from common.events import Event
from common.images import ImageKey, Selection
from regiond.import_plan import Retirement
from regiond.notices import source_notices, support_ended
from regiond.sources.catalogue import Catalogue
from regiond.sources.simplestreams import Notice, Skipped
from tests.doubles.catalogues import offers_of, ubuntu

SUPPORTED = Selection("ubuntu", "supported")
OFFERS = offers_of(
    *ubuntu("focal", "20.04", support_eol="2025-05-31"),
    *ubuntu("jammy", "22.04", support_eol="2027-04-21"),
    *ubuntu("noble", "24.04", support_eol=""),
)
FOUND = Catalogue(OFFERS)


def told(
    found: Catalogue = FOUND,
    *selections: Selection,
    today: date = date(2025, 5, 20),
) -> dict[str, Event]:
    """The events by code."""
    events = source_notices("boot-source 1", selections, found, today)
    assert all(event.object == "boot-source 1" for event in events)
    return {event.code: event for event in events}


class SourceNoticesTests(SynchronousTestCase):
    """``source_notices``"""

    def test_nothing(self) -> None:
        """Nothing is said of a source of which there is nothing to say."""
        self.assertEqual(told(), {})
        self.assertEqual(told(FOUND, Selection("ubuntu", "focal")), {})

    def test_products_skipped(self) -> None:
        """One event however many products are faulty, with the first few of them."""
        faults = tuple(Skipped(f"product-{n}", "", "", "odd") for n in range(9))
        event = told(attrs.evolve(FOUND, malformed=faults))["products-skipped"]
        self.assertIn("9 products", event.cause)
        self.assertIn("product-4: odd; ...", event.cause)
        self.assertNotIn("product-5", event.cause)

    def test_publisher(self) -> None:
        """What the publisher wants to be read, with the MAAS it is about."""
        notices = (Notice("is there", "3.9"), Notice("maintenance", ""))
        event = told(attrs.evolve(FOUND, notices=notices))["source-notice"]
        self.assertEqual(event.cause, "MAAS 3.9: is there; maintenance")
        self.assertEqual(event.severity.value, "info")

    def test_support_ends(self) -> None:
        """From 30 days before to the last day it is said what will go, and how to keep it."""
        for day, is_said in (
            (date(2025, 4, 30), False),
            (date(2025, 5, 1), True),
            (date(2025, 5, 31), True),
            (date(2025, 6, 1), False),
        ):
            events = told(FOUND, SUPPORTED, today=day)
            self.assertEqual("selection-support-ends" in events, is_said, day)
        event = told(FOUND, SUPPORTED)["selection-support-ends"]
        self.assertIn("ubuntu/focal on 2025-05-31", event.cause)
        self.assertNotIn("jammy", event.cause)
        self.assertIn("by its name", event.remedy)

    def test_support_ends_of_what_stays(self) -> None:
        """Nothing is said of a release that another selection means, too."""
        for also in (
            Selection("ubuntu", "focal"),
            Selection("ubuntu", "f*"),
            Selection("*", "*"),
        ):
            self.assertEqual(told(FOUND, SUPPORTED, also), {}, also)
        self.assertTrue(told(FOUND, SUPPORTED, Selection("ubuntu", "jammy")))
        self.assertEqual(told(FOUND, Selection("centos", "supported")), {})


class SupportEndedTests(SynchronousTestCase):
    """``support_ended``"""

    def test_once_per_release(self) -> None:
        """One event names each release that goes, and none what goes for another reason."""
        ended = date(2025, 5, 31)
        keys = [
            ImageKey("ubuntu", arch, "ga-20.04", release, "stable")
            for release in ("focal", "jammy")
            for arch in ("amd64", "arm64")
        ]
        gone = [
            Retirement(n, key, "1", support_ended=ended if key.release == "focal" else None)
            for n, key in enumerate(keys)
        ]
        [event] = support_ended(gone)
        self.assertEqual((event.code, event.object), ("selection-support-ended", "ubuntu/focal"))
        self.assertIn("2025-05-31", event.cause)
        self.assertEqual(support_ended(gone[2:]), ())
