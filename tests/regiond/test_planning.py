"""What an import will do."""

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.images import Selection
from regiond.damaged_blobs import LostFile
from regiond.import_plan import HeldBlob, HeldState, Holdings
from regiond.planning import plan_import
from regiond.sources.catalogue import Offer
from regiond.sources.matching import SourceOffers
from tests.doubles.plans import Store, holding, offer, source


class RepairTests(SynchronousTestCase):
    """What went bad of what is held."""

    def damaged(self, made: Offer, *, source_id: int | None = 1) -> Holdings:
        """An image that was imported, and whose second file is half there."""
        store, file = holding(source(made)), made.files[1]
        path = None if source_id is None else file.upstream_path
        lost = LostFile(
            1, made.key, made.version, file.ftype, file.sha256, file.size_bytes, source_id, path
        )
        half = HeldBlob(file.sha256, file.size_bytes, 3, complete=False)
        blobs = store.blobs | {file.sha256: half}
        return attrs.evolve(store.holdings, blobs=blobs, lost=(lost,))

    def test_what_went_bad_is_fetched_and_nothing_is_staged(self) -> None:
        """Nothing else of the image, from where it came, going on where it broke."""
        made = offer()
        plan = plan_import([source(made)], self.damaged(made))
        (fetch,) = plan.fetch
        file = made.files[1]
        self.assertEqual((fetch.sha256, fetch.held_bytes), (file.sha256, 3))
        self.assertEqual(fetch.upstream, ((1, file.upstream_path),))
        self.assertEqual([each.key for each in fetch.repairs], [made.key])
        self.assertEqual(plan.repair_bytes, {(made.key, "1"): file.size_bytes - 3})
        self.assertEqual((plan.stage, plan.retire, plan.is_empty), ((), (), False))

    def test_a_newer_version_hides_no_damage(self) -> None:
        """It is fetched, too; a file that both have, once, from either place."""
        made = offer(shared="same")
        newer = offer(version="2", shared="same")
        plan = plan_import([source(newer)], self.damaged(made))
        self.assertEqual(len(plan.fetch), 2)
        (shared,) = [each for each in plan.fetch if each.repairs]
        self.assertEqual(
            set(shared.upstream),
            {(1, newer.files[1].upstream_path), (1, made.files[1].upstream_path)},
        )
        self.assertEqual(sum(plan.fetch_bytes_each), plan.fetch_bytes)
        self.assertEqual(plan.repair_bytes, {(made.key, "1"): 0})

    def test_what_nobody_offers_is_left_alone(self) -> None:
        """An upload; a source that is gone, or cannot be read."""
        made = offer()
        for sources, source_id in (([source(made)], None), ([source(made)], 2), ([source()], 1)):
            plan = plan_import(sources, self.damaged(made, source_id=source_id))
            self.assertEqual(plan.fetch, ())

    def test_of_a_bundle_that_which_is_there(self) -> None:
        """A bundle that was written without it leaves it as it is."""
        made = offer()
        plan = plan_import([source(made)], self.damaged(made))
        for has in (True, False):
            work = plan.within([1], lambda _: True, lambda _, has=has: has)
            self.assertEqual(len(work.fetch), has)
        self.assertEqual(plan.within([2], lambda _: True, lambda _: True).fetch, ())


class FetchTests(SynchronousTestCase):
    """What is fetched and staged."""

    def test_first_import(self) -> None:
        """An empty store fetches every file of every selected image."""
        plan = plan_import([source(offer("jammy"), offer("noble"))], Holdings())
        self.assertEqual(len(plan.stage), 2)
        self.assertEqual(len(plan.fetch), 4)
        self.assertEqual(plan.fetch_bytes, sum(one.offer.size_bytes for one in plan.stage))
        self.assertEqual(([one.is_held for one in plan.stage], plan.retire), ([False, False], ()))

    def test_shared_blob(self) -> None:
        """A blob that several images have is fetched once, and from any of its places."""
        plan = plan_import(
            [source(offer("jammy", shared="x"), offer("noble", shared="x"))], Holdings()
        )
        [shared] = [blob for blob in plan.fetch if blob.size_bytes == 1]
        self.assertEqual(
            shared.upstream, ((1, "jammy/amd64/1/squashfs"), (1, "noble/amd64/1/squashfs"))
        )
        self.assertEqual(len(plan.fetch), 3)

    def test_resume(self) -> None:
        """What is held of a blob is not fetched again."""
        wanted = offer()
        file = wanted.files[1]
        half = HeldBlob(file.sha256, file.size_bytes, 5, complete=False)
        plan = plan_import([source(wanted)], Holdings((), {file.sha256: half}))
        self.assertEqual(plan.fetch_bytes, wanted.size_bytes - 5)

    def test_odd_partial(self) -> None:
        """A partial of another size than the signed one counts for nothing."""
        wanted = offer()
        file = wanted.files[1]
        odd = HeldBlob(file.sha256, file.size_bytes + 1, 5, complete=False)
        plan = plan_import([source(wanted)], Holdings((), {file.sha256: odd}))
        self.assertEqual(plan.fetch_bytes, wanted.size_bytes)

    def test_publish_at_once(self) -> None:
        """An image whose blobs are all held is published without fetching."""
        store = holding(source(offer()))
        store.images.clear()
        plan = plan_import([source(offer())], store.holdings)
        self.assertEqual(([one.is_held for one in plan.stage], plan.fetch), ([True], ()))

    def test_same_version_other_bytes(self) -> None:
        """A version that was published again with other bytes is fetched."""
        store = holding(source(offer()))
        plan = plan_import([source(offer(shared="other"))], store.holdings)
        self.assertEqual([blob.size_bytes for blob in plan.fetch], [len("other")])

    def test_contradiction(self) -> None:
        """An image that gives a held blob another size is refused; what is held stays."""
        store = holding(source(offer()))
        liar = offer(version="2")
        known = offer().files[1]
        liar = attrs.evolve(liar, files=(liar.files[0], attrs.evolve(known, size_bytes=1)))
        plan = plan_import([source(liar)], store.holdings)
        self.assertEqual((plan.stage, plan.fetch, plan.retire), ((), (), ()))
        self.assertIn("says 1 bytes", plan.refused[0].reason)

    def test_priority(self) -> None:
        """An image comes from the source with the highest priority, its blobs from any."""
        plan = plan_import(
            [source(offer(), source_id=1), source(offer(), source_id=2, priority=1)], Holdings()
        )
        self.assertEqual([one.source_id for one in plan.stage], [2])
        self.assertEqual({place[0] for blob in plan.fetch for place in blob.upstream}, {2})


class IncompleteTests(SynchronousTestCase):
    """The sources whose new documents mirrors must not show yet."""

    def test_until_every_image_is_published(self) -> None:
        """A source is incomplete until the last of its staged images is published."""
        jammy, noble, other = offer("jammy"), offer("noble"), offer("focal")
        plan = plan_import([source(jammy, noble), source(other, source_id=2)], Holdings())
        self.assertEqual(plan.incomplete([]), {1, 2})
        self.assertEqual(plan.incomplete([jammy.key, other.key]), {1})
        self.assertEqual(plan.incomplete([jammy.key, noble.key, other.key]), set())

    def test_what_is_refused_is_never_complete(self) -> None:
        """An image that contradicts what is held is one that is not held."""
        jammy = offer("jammy")
        (file,) = jammy.files[:1]
        wrong = {file.sha256: HeldBlob(file.sha256, file.size_bytes + 1, 0, complete=True)}
        plan = plan_import([source(jammy)], Holdings((), wrong))
        self.assertEqual(plan.incomplete([jammy.key]), {1})


class UploadTests(SynchronousTestCase):
    def test_a_source_that_offers_the_same(self) -> None:
        """The upload stays as it is, whatever comes, and the source lacks nothing by that."""
        store = holding(source(offer()))
        held = Holdings(
            tuple(attrs.evolve(image, source_id=None) for image in store.images.values())
        )
        plan = plan_import([source(offer(version="29991231"), offer("noble"))], held)
        self.assertEqual([each.offer.key.release for each in plan.stage], ["noble"])
        self.assertEqual((plan.retire, plan.refused_of, plan.vanished), ((), frozenset(), ()))


class PinTests(SynchronousTestCase):
    """What is pinned stays, and nothing takes its place."""

    def pinned(self, *sources: SourceOffers) -> Store:
        """A store that holds what these offer, all of it pinned."""
        store = holding(*sources)
        store.images = {
            number: attrs.evolve(image, pinned=True) for number, image in store.images.items()
        }
        return store

    def test_an_update_of_a_pinned_image_waits(self) -> None:
        """Nothing is fetched for it; the plan says what waits, and of which source."""
        store = self.pinned(source(offer(version="1")))
        plan = plan_import([source(offer(version="2"))], store.holdings)
        self.assertTrue(plan.is_empty)
        self.assertEqual(plan.fetch, ())
        self.assertEqual(
            [(each.pinned.version, each.source_id, each.offer.version) for each in plan.waiting],
            [("1", 1, "2")],
        )
        self.assertEqual(plan.incomplete(()), {1})

    def test_a_correction_of_the_same_version_waits_too(self) -> None:
        """Pinned are these files, not a name."""
        store = self.pinned(source(offer()))
        plan = plan_import([source(offer(shared="corrected"))], store.holdings)
        self.assertEqual((plan.is_empty, len(plan.waiting)), (True, 1))

    def test_what_is_pinned_to_what_is_offered_waits_for_nothing(self) -> None:
        """There is nothing to say about it."""
        plan = plan_import([source(offer())], self.pinned(source(offer())).holdings)
        self.assertEqual((plan.waiting, plan.unwanted, plan.incomplete(())), ((), (), frozenset()))

    def test_an_update_that_was_on_its_way_is_given_up(self) -> None:
        """The pin came while it was fetched."""
        store = self.pinned(source(offer(version="1")))
        begun = attrs.evolve(
            next(iter(store.images.values())), id=9, version="2",
            state=HeldState.IMPORTING, pinned=False,
        )  # fmt: skip
        store.images[9] = begun
        plan = plan_import([source(offer(version="2"))], store.holdings)
        self.assertEqual(plan.retirements(), (9,))

    def test_neither_selection_nor_source_takes_it_away(self) -> None:
        """It stays until it is unpinned, and the plan names it."""
        store = self.pinned(source(offer()))
        for sources in ([source(offer(), selections=())], []):
            plan = plan_import(sources, store.holdings)
            self.assertTrue(plan.is_empty)
            self.assertEqual([each.version for each in plan.unwanted], ["1"])

    def test_what_vanished_upstream_is_not_unwanted(self) -> None:
        """It is still selected."""
        store = self.pinned(source(offer("jammy"), offer("noble")))
        plan = plan_import([source(offer("noble"))], store.holdings)
        self.assertEqual((plan.unwanted, len(plan.vanished)), ((), 1))


releases = st.sampled_from(["jammy", "noble", "plucky"])
catalogues = st.dictionaries(releases, st.sampled_from(["1", "2", "3"])).map(
    lambda found: tuple(offer(release, version) for release, version in found.items())
)
selections = st.lists(releases.map(lambda release: Selection("ubuntu", release)), max_size=3)


class LawTests(SynchronousTestCase):
    """Laws over any history of catalogues, selections and failures."""

    @settings(max_examples=150)
    @given(st.lists(st.tuples(catalogues, selections, st.booleans()), max_size=5))
    def test_history(
        self,
        history: list[tuple[tuple[Offer, ...], list[Selection], bool]],
    ) -> None:
        """Carried out, a plan leaves nothing to do; what is selected never gets lost."""
        store = Store()
        for offers, chosen, fails in history:
            now = source(*offers, selections=tuple(chosen))
            before = store.published
            plan = plan_import([now], store.holdings)
            broken = {blob.sha256 for blob in plan.fetch} if fails else set()
            store.carry_out(plan, fails=frozenset(broken))
            wanted = {selection.release for selection in chosen}
            for release in before.keys() & wanted:
                self.assertIn(release, store.published)
            if not fails:
                self.assertTrue(plan_import([now], store.holdings).is_empty)
            if chosen and not any(made.key.release in wanted for made in offers):
                self.assertLessEqual(before.items(), store.published.items())

    @settings(max_examples=50)
    @given(
        st.lists(st.tuples(releases, st.sampled_from(["", "x", "yy"])), unique_by=lambda x: x[0])
    )
    def test_bytes_of_each_image(self, offered: list[tuple[str, str]]) -> None:
        """What the images cost, added up, is what is fetched, whatever they share."""
        offers = [offer(release, shared=shared) for release, shared in offered]
        plan = plan_import([source(*offers)], Holdings())
        self.assertEqual(len(plan.fetch_bytes_each), len(plan.stage))
        self.assertEqual(sum(plan.fetch_bytes_each), plan.fetch_bytes)
        for image, fetch_bytes in zip(plan.stage, plan.fetch_bytes_each, strict=True):
            self.assertLessEqual(fetch_bytes, image.offer.size_bytes)

    @settings(max_examples=50)
    @given(catalogues)
    def test_unique_fetches(self, offers: tuple[Offer, ...]) -> None:
        """Every missing blob is fetched exactly once, and nothing else is."""
        plan = plan_import([source(*offers)], Holdings())
        fetched = [blob.sha256 for blob in plan.fetch]
        missing = {sha256 for image in plan.stage for sha256 in image.missing}
        self.assertEqual((len(fetched), set(fetched)), (len(missing), missing))
