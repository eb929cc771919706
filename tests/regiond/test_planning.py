"""What an import will do."""

from datetime import date

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.digests import sha256_hex
from common.images import ImageKey, Selection
from regiond.planning import (
    HeldBlob,
    HeldImage,
    HeldState,
    Holdings,
    ImportPlan,
    plan_import,
)
from regiond.sources.catalogue import Offer, WantedFile
from regiond.sources.matching import SourceOffers

UBUNTU = (Selection("ubuntu", "*"),)
TODAY = date(2025, 8, 1)


def offer(
    release: str = "jammy",
    version: str = "1",
    arch: str = "amd64",
    shared: str = "",
    **more: object,
) -> Offer:
    """An image of two files; ``shared`` is the content of the second."""
    contents = {
        "boot-kernel": f"kernel {release} {arch} {version}",
        "squashfs": shared or f"squashfs {release} {arch} {version}",
    }
    files = tuple(
        WantedFile(
            name,
            name,
            sha256_hex(content.encode()),
            len(content),
            f"{release}/{arch}/{version}/{name}",
        )
        for name, content in contents.items()
    )
    key = ImageKey("ubuntu", arch, "ga-22.04", release, "stable")
    made = Offer(key, version, files, "content", f"{release}:{arch}", subarches=("generic",))
    return attrs.evolve(made, **more)


def bootloader() -> Offer:
    """A bootloader."""
    key = ImageKey("grub", "amd64", "generic", "uefi", "stable")
    return attrs.evolve(offer("uefi"), key=key, bootloader_type="uefi")


def source(
    *offers: Offer,
    selections: tuple[Selection, ...] = UBUNTU,
    source_id: int = 1,
    priority: int = 0,
    today: date = TODAY,
) -> SourceOffers:
    """A source."""
    return SourceOffers(source_id, priority, selections, offers, today)


class Store:
    """A store that carries out plans, to see what the next one is."""

    def __init__(self) -> None:
        self.images: dict[int, HeldImage] = {}
        self.blobs: dict[str, HeldBlob] = {}
        self.last_id = 0

    @property
    def holdings(self) -> Holdings:
        return Holdings(tuple(self.images.values()), dict(self.blobs))

    @property
    def published(self) -> dict[str, str]:
        """Release and version of what racks see."""
        return {
            image.key.release: image.version
            for image in self.images.values()
            if image.state is HeldState.PUBLISHED
        }

    def carry_out(self, plan: ImportPlan, fails: frozenset[str] = frozenset()) -> None:
        """Do all of it, but leave the blobs ``fails`` half fetched."""
        for gone in plan.retirements():
            del self.images[gone]
        for blob in plan.fetch:
            broken = blob.sha256 in fails
            held = blob.size_bytes // 2 if broken else blob.size_bytes
            self.blobs[blob.sha256] = HeldBlob(blob.sha256, blob.size_bytes, held, not broken)
        published = []
        for planned in plan.stage:
            made = planned.offer
            state = HeldState.IMPORTING
            if all(self.blobs[file.sha256].complete for file in made.files):
                state = HeldState.PUBLISHED
                published.append(made.key)
                self._remove(made.key)
            elif any(
                (image.key, image.version, image.state) == (made.key, made.version, state)
                for image in self.images.values()
            ):
                continue
            self.last_id += 1
            self.images[self.last_id] = HeldImage(
                self.last_id,
                made.key,
                made.version,
                state,
                planned.source_id,
                frozenset((file.name, file.sha256) for file in made.files),
                made.subarches,
                made.bootloader_type,
            )
        for gone in plan.retirements(published):
            self.images.pop(gone, None)

    def _remove(self, key: ImageKey) -> None:
        for number, image in list(self.images.items()):
            if image.key == key:
                del self.images[number]


def holding(*sources: SourceOffers) -> Store:
    """A store that has imported these sources."""
    store = Store()
    store.carry_out(plan_import(sources, store.holdings))
    return store


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
        """An image that another source gives identically stays when its first source goes."""
        store = holding(source(offer()))
        self.assertTrue(plan_import([source(offer(), source_id=2)], store.holdings).is_empty)


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

    def test_vanished(self) -> None:
        """A release that is not offered any more is not known to have ended: it stays."""
        store = holding(self.at(self.end, self.focal, self.jammy))
        plan = plan_import([self.at(date(2025, 8, 2), self.jammy)], store.holdings)
        self.assertTrue(plan.is_empty)


releases = st.sampled_from(["jammy", "noble", "plucky"])
catalogues = st.dictionaries(releases, st.sampled_from(["1", "2", "3"])).map(
    lambda found: tuple(offer(release, version) for release, version in found.items())
)
selections = st.lists(releases.map(lambda release: Selection("ubuntu", release)), max_size=3)


class LawTests(SynchronousTestCase):
    """Laws over any history of catalogues, selections and failures."""

    @settings(max_examples=150, deadline=None)
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

    @settings(max_examples=50, deadline=None)
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

    @settings(max_examples=50, deadline=None)
    @given(catalogues)
    def test_unique_fetches(self, offers: tuple[Offer, ...]) -> None:
        """Every missing blob is fetched exactly once, and nothing else is."""
        plan = plan_import([source(*offers)], Holdings())
        fetched = [blob.sha256 for blob in plan.fetch]
        missing = {sha256 for image in plan.stage for sha256 in image.missing}
        self.assertEqual((len(fetched), set(fetched)), (len(missing), missing))
