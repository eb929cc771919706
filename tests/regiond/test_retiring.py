"""Which held images an import lets go."""

from datetime import date

import attrs
from twisted.trial.unittest import SynchronousTestCase

from common.images import Selection
from regiond.import_plan import HeldState, Holdings
from regiond.planning import plan_import
from regiond.sources.catalogue import Offer
from regiond.sources.matching import SourceOffers
from tests.doubles.plans import Store, bootloader, holding, offer, source


class RetirementTests(SynchronousTestCase):
    """What goes, and what never does."""

    def test_unselected(self) -> None:
        """An image that no selection means any more goes."""
        store = holding(source(offer("jammy"), offer("noble")))
        wanted = source(offer("jammy"), offer("noble"), selections=(Selection("ubuntu", "noble"),))
        plan = plan_import([wanted], store.holdings)
        self.assertEqual([gone.key.release for gone in plan.retire], ["jammy"])
        self.assertFalse(plan.guarded)

    def test_last_selection(self) -> None:
        """Without any selection all images of the source go: that is what was said."""
        store = holding(source(offer(), bootloader()))
        plan = plan_import([source(offer(), bootloader(), selections=())], store.holdings)
        self.assertEqual(len(plan.retirements()), 2)

    def test_deleted_source(self) -> None:
        """The images of a source that was deleted go."""
        store = holding(source(offer()))
        self.assertEqual(len(plan_import([], store.holdings).retirements()), 1)

    def test_upload(self) -> None:
        """An uploaded image has no source and stays."""
        store = holding(source(offer()))
        held = {
            number: attrs.evolve(image, source_id=None) for number, image in store.images.items()
        }
        self.assertTrue(plan_import([], Holdings(tuple(held.values()))).is_empty)

    def test_vanished(self) -> None:
        """A selected image that vanished upstream stays."""
        store = holding(source(offer("jammy"), offer("noble")))
        plan = plan_import([source(offer("noble"))], store.holdings)
        self.assertTrue(plan.is_empty)
        self.assertEqual([gone.key.release for gone in plan.vanished], ["jammy"])
        self.assertEqual(plan_import([source(offer("jammy"))], store.holdings).vanished[0].key,
                         offer("noble").key)  # fmt: skip

    def test_kept(self) -> None:
        """Kept versions stay while their image is wanted, and go with it."""
        store = holding(source(offer("jammy", "2"), offer("noble")))
        kept = attrs.evolve(store.images[1], id=9, version="1", state=HeldState.KEPT)
        held = Holdings((*store.images.values(), kept), store.blobs)
        for offers in ([offer("jammy", "2"), offer("noble")], [offer("noble")], []):
            self.assertTrue(plan_import([source(*offers)], held).is_empty)
        unwanted = source(offer("jammy", "2"), offer("noble"),
                          selections=(Selection("ubuntu", "noble"),))  # fmt: skip
        self.assertEqual(plan_import([unwanted], held).retirements(), (1, 9))
        typo = source(offer("jammy", "2"), selections=(Selection("ubuntu", "nobel"),))
        self.assertEqual(plan_import([typo], held).retire, ())

    def test_empty_upstream(self) -> None:
        """A source that offers nothing, or could not be read, loses nothing."""
        store = holding(source(offer(), bootloader()))
        self.assertTrue(plan_import([source()], store.holdings).is_empty)

    def test_guard(self) -> None:
        """A selection that matches nothing upstream does not empty its source, and says why."""
        store = holding(source(offer("jammy")))
        typo = source(offer("jammy"), selections=(Selection("ubuntu", "nobel"),))
        plan = plan_import([typo], store.holdings)
        self.assertEqual((plan.retire, plan.guarded), ((), True))
        self.assertIn("boot-source 1", plan.reason)

    def test_guard_is_per_source(self) -> None:
        """What one source offers does not lift the guard from another."""
        one = source(offer("jammy"))
        store = holding(one)
        typo = source(offer("jammy"), selections=(Selection("ubuntu", "nobel"),))
        other = source(offer("noble"), source_id=2)
        plan = plan_import([typo, other], store.holdings)
        self.assertEqual((plan.retire, plan.guarded), ((), True))

    def test_newer_version(self) -> None:
        """The old version is no retirement of the plan: publishing the new one replaces it."""
        store = holding(source(offer(version="1")))
        plan = plan_import([source(offer(version="2"))], store.holdings)
        self.assertEqual((plan.retire, len(plan.stage)), ((), 1))
        store.carry_out(plan, fails=frozenset({plan.fetch[0].sha256}))
        self.assertEqual(store.published, {"jammy": "1"})
        store.carry_out(plan_import([source(offer(version="2"))], store.holdings))
        self.assertEqual(store.published, {"jammy": "2"})

    def test_superseded_import(self) -> None:
        """A half-fetched version that is no longer the newest is dropped."""
        store = Store()
        plan = plan_import([source(offer(version="1"))], store.holdings)
        store.carry_out(plan, fails=frozenset({plan.fetch[0].sha256}))
        plan = plan_import([source(offer(version="2"))], store.holdings)
        self.assertEqual([gone.version for gone in plan.retire], ["1"])

    def test_half_fetched_and_vanished(self) -> None:
        """What was half fetched when it vanished upstream, or with its source, is given up."""
        store = Store()
        plan = plan_import([source(offer("jammy"), offer("noble"))], store.holdings)
        store.carry_out(plan, fails=frozenset({plan.fetch[0].sha256}))
        self.assertEqual(store.published, {"noble": "1"})
        plan = plan_import([source(offer("noble"))], store.holdings)
        self.assertEqual([gone.key.release for gone in plan.retire], ["jammy"])
        self.assertFalse(plan_import([source()], store.holdings).retire)  # could not be read
        self.assertEqual(len(plan_import([], store.holdings).retirements()), 2)
        store.carry_out(plan)
        self.assertTrue(plan_import([source(offer("noble"))], store.holdings).is_empty)

    def test_other_source_takes_over(self) -> None:
        """An image that another source gives identically is that one's when its first source
        goes: nothing is fetched, and from then on its mirror has it, and it stays as long as
        that source's selections say.
        """
        store = holding(source(offer()))
        other = source(offer(), source_id=2)
        plan = plan_import([other], store.holdings)
        self.assertEqual((plan.fetch, plan.retire), ((), ()))
        self.assertEqual([(one.source_id, one.is_held) for one in plan.stage], [(2, True)])
        store.carry_out(plan)
        self.assertTrue(plan_import([other], store.holdings).is_empty)
        gone = plan_import([source(offer("noble"), source_id=2)], store.holdings)
        self.assertEqual((gone.retire, len(gone.vanished)), ((), 1))

    def test_other_path(self) -> None:
        """The same bytes at another path of the source: mirrors have to show them there."""
        store = holding(source(offer()))
        moved = attrs.evolve(
            offer(),
            files=tuple(
                attrs.evolve(file, upstream_path=f"v2/{file.upstream_path}")
                for file in offer().files
            ),
        )
        plan = plan_import([source(moved)], store.holdings)
        self.assertEqual(([one.is_held for one in plan.stage], plan.fetch), ([True], ()))
        store.carry_out(plan)
        self.assertTrue(plan_import([source(moved)], store.holdings).is_empty)


class LatestLtsTests(SynchronousTestCase):
    """``latest-lts`` moves on."""

    wanted = (Selection("ubuntu", "latest-lts"),)
    jammy = offer("jammy", release_title="22.04 LTS", os_version="22.04")
    noble = offer("noble", release_title="24.04 LTS", os_version="24.04")

    def test_waits(self) -> None:
        """The old LTS stays until the new one is complete, and then it goes."""
        store = holding(source(self.jammy, selections=self.wanted))
        moved = source(self.jammy, self.noble, selections=self.wanted)
        plan = plan_import([moved], store.holdings)
        self.assertEqual(plan.retirements(), ())
        store.carry_out(plan, fails=frozenset({plan.fetch[0].sha256}))
        self.assertEqual(store.published, {"jammy": "1"})
        store.carry_out(plan_import([moved], store.holdings))
        self.assertEqual(store.published, {"noble": "1"})

    def test_vanished(self) -> None:
        """The present LTS stays when it vanishes from one architecture only."""
        arm64 = attrs.evolve(self.noble, key=attrs.evolve(self.noble.key, arch="arm64"))
        store = holding(source(self.noble, arm64, selections=self.wanted))
        plan = plan_import([source(self.noble, selections=self.wanted)], store.holdings)
        self.assertTrue(plan.is_empty)

    def test_not_for_this_architecture(self) -> None:
        """Where the new LTS cannot be had the old one stays, and the plan says so, whatever
        else is selected.
        """
        wanted = (*self.wanted, Selection("ubuntu", "focal"))
        focal = offer("focal", release_title="20.04 LTS", os_version="20.04")
        store = holding(source(focal, self.jammy, selections=wanted))
        arm64 = attrs.evolve(self.noble, key=attrs.evolve(self.noble.key, arch="arm64"))
        moved = source(focal, self.jammy, arm64, selections=wanted)
        plan = plan_import([moved], store.holdings)
        self.assertEqual(plan.retire, ())
        self.assertIn("ubuntu/noble, which cannot be had for amd64", plan.reason)

    def test_contradicted(self) -> None:
        """A new LTS that is refused, since it contradicts what is held, replaces nothing."""
        wanted = (*self.wanted, Selection("ubuntu", "focal"))
        focal = offer("focal", release_title="20.04 LTS", os_version="20.04")
        store = holding(source(focal, self.jammy, selections=wanted))
        known = focal.files[1]
        liar = attrs.evolve(
            self.noble, files=(self.noble.files[0], attrs.evolve(known, size_bytes=1))
        )
        plan = plan_import([source(focal, self.jammy, liar, selections=wanted)], store.holdings)
        self.assertEqual((plan.stage, plan.retire, len(plan.refused)), ((), (), 1))

    def test_never_back(self) -> None:
        """An LTS whose products are missing upstream, or all faulty, stays, although an older
        one is the latest on offer now.
        """
        store = holding(source(self.jammy, self.noble, selections=self.wanted))
        self.assertEqual(store.published, {"noble": "1"})
        back = source(self.jammy, selections=self.wanted)
        store.carry_out(plan_import([back], store.holdings))
        self.assertIn("noble", store.published)
        whole = source(self.jammy, self.noble, selections=self.wanted)
        store.carry_out(plan_import([whole], store.holdings))
        self.assertEqual(store.published, {"noble": "1"})


class SupportedTests(SynchronousTestCase):
    """``supported``, as time goes by."""

    wanted = (Selection("ubuntu", "supported"),)
    end = date(2025, 8, 1)
    focal = offer("focal", support_eol="2025-08-01")
    jammy = offer("jammy", support_eol="2027-04-21")

    def at(self, today: date, *offers: Offer, also: tuple[Selection, ...] = ()) -> SourceOffers:
        return source(*offers, selections=(*self.wanted, *also), today=today)

    def test_it_goes_after_its_last_day_and_says_why(self) -> None:
        """On the last day it stays; the day after it goes with its reason."""
        store = holding(self.at(self.end, self.focal, self.jammy))
        self.assertEqual(set(store.published), {"focal", "jammy"})
        later = self.at(date(2025, 8, 2), self.focal, self.jammy)
        [gone] = plan_import([later], store.holdings).retire
        self.assertEqual((gone.key.release, gone.support_ended), ("focal", self.end))

    def test_what_is_selected_by_name_stays(self) -> None:
        """Another selection of the release keeps it."""
        store = holding(self.at(self.end, self.focal, self.jammy))
        also = (Selection("ubuntu", "focal"),)
        later = self.at(date(2025, 8, 2), self.focal, self.jammy, also=also)
        self.assertTrue(plan_import([later], store.holdings).is_empty)

    def test_other_reasons_are_not_called_that(self) -> None:
        """An image that goes since its selection was deleted says nothing about support."""
        store = holding(self.at(self.end, self.focal, self.jammy))
        deselected = source(self.focal, self.jammy, selections=(), today=date(2025, 8, 2))
        plan = plan_import([deselected], store.holdings)
        self.assertEqual({gone.support_ended for gone in plan.retire}, {None})

    def test_when_all_support_has_ended_everything_stays(self) -> None:
        """A clock that is years ahead, or a forgotten mirror, empties nothing."""
        store = holding(self.at(self.end, self.focal, self.jammy))
        plan = plan_import([self.at(date(2099, 1, 1), self.focal, self.jammy)], store.holdings)
        self.assertEqual((plan.retire, plan.guarded), ((), True))
        also = (Selection("ubuntu", "jammy"),)
        beside = self.at(date(2099, 1, 1), self.focal, self.jammy, also=also)
        plan = plan_import([beside], store.holdings)
        self.assertEqual((plan.retire, plan.guarded), ((), True))

    def test_vanished(self) -> None:
        """A release that is not offered any more is not known to have ended: it stays."""
        store = holding(self.at(self.end, self.focal, self.jammy))
        plan = plan_import([self.at(date(2025, 8, 2), self.jammy)], store.holdings)
        self.assertTrue(plan.is_empty)
