"""New versions on canaries first, in the database."""

from common.errors import NotFound
from common.events import Event, Severity
from common.images import View
from regiond.store import (
    canaries,
    changes,
    events,
    generations,
    images,
    kept,
    pins,
    promotions,
    publication,
    racks,
    revisions,
    settings,
)
from regiond.store.kept import VERSIONS
from tests.doubles.stores import DAY_S, NOW, OnPostgreSQL, OnSQLite, Store, content, key

HOUR_S = 3600.0
CONTENTS = [content(10, seed=each) for each in range(6)]
JAMMY, NOBLE = key("jammy"), key("noble")


class CanarySuite(Store):
    """Version 1 of an image, held by all; of three racks one is a canary, two hours before."""

    def setUp(self) -> None:
        super().setUp()
        self.take_lease()
        for name in ("canary", "other", "small"):
            self.write(lambda conn, name=name: racks._active_rack(conn, name, NOW))
        self.first = self.version(1)
        self.canary("canary", after=2 * HOUR_S)

    def canary(self, *names: str, after: canaries.After | None = None, now: float = NOW) -> int:
        return self.write(promotions.change, names, after, now)

    def version(self, number: int, of: object = JAMMY, now: float = NOW) -> int:
        return self.publish([CONTENTS[number]], str(number), of, now)  # type: ignore[arg-type]

    def view(self, rack: str) -> View:
        _, digest = self.read(generations.current_view, rack)
        return View.from_document(self.read(generations.read_document, digest) or b"")

    def held(self, rack: str, of: object = JAMMY) -> str | None:
        """The version that a rack is to show."""
        found = self.view(rack).images.get(str(of))
        return found and found.version

    def everybody(self, of: object = JAMMY) -> list[str | None]:
        return [self.held(rack, of) for rack in ("canary", "other", "small")]

    def well(self, *names: str, problem: dict[str, str] | None = None) -> None:
        """These racks say that they hold what they are to hold."""
        for name in names:
            number, digest = self.read(generations.current_view, name)
            self.write(racks.report_sync, name, number, digest, problem, NOW)

    def promote_due(self, now: float) -> int:
        return self.write(promotions.promote_due, now)

    def open_events(self) -> dict[str, str]:
        return {e.event.code: e.event.cause for e in self.read(events.list_events)}

    def test_a_new_version_goes_to_canaries_first(self) -> None:
        """The others keep the very view that they had, whole."""
        before = self.read(generations.current_view, "other")[1]
        second = self.version(2)
        self.assertEqual(self.everybody(), ["2", "1", "1"])
        self.assertEqual(self.read(generations.current_view, "other")[1], before)
        first = self.read(images.image_details, self.first)
        self.assertEqual((first.state, first.settled), ("kept", True))
        (waiting,) = self.read(canaries.waiting)
        self.assertEqual((waiting.id, waiting.due_at), (second, NOW + 2 * HOUR_S))

    def test_what_the_others_hold_is_neither_surplus_nor_garbage(self) -> None:
        """However long that takes, and however few versions are kept."""
        self.version(2)
        self.assertEqual(self.read(kept.surplus_images), ())
        self.write(images.forget_retired, NOW + DAY_S)
        self.assertTrue(self.read(images.is_blob_in_view, CONTENTS[1].sha256, None, NOW + DAY_S))
        self.write(generations.prune, NOW + DAY_S)
        self.assertEqual(self.everybody(), ["2", "1", "1"])

    def test_canaries_have_the_version_before_at_hand(self) -> None:
        """Going back is a flip for them, too."""
        self.version(2)
        first = self.read(images.image_details, self.first)
        self.assertEqual(self.view("canary").kept, (first.document_sha256,))
        self.assertEqual(self.view("other").kept, ())

    def test_after_its_time_it_goes_to_all(self) -> None:
        """In one generation, if the canaries hold it; the version before goes, news is told."""
        self.version(2)
        self.well("canary")
        number, _ = self.read(generations.current_generation)
        self.assertEqual(self.promote_due(NOW + 2 * HOUR_S - 1), 0)
        self.assertEqual(self.everybody(), ["2", "1", "1"])
        revision = self.read(revisions.selection_revision)
        self.assertEqual(self.promote_due(NOW + 2 * HOUR_S), 1)
        self.assertEqual(self.everybody(), ["2", "2", "2"])
        self.assertEqual(self.read(generations.current_generation)[0], number + 1)
        self.assertEqual(self.read(images.image_details, self.first).state, "retired")
        self.assertEqual(self.read(canaries.waiting), ())
        self.assertGreater(self.read(revisions.selection_revision), revision)
        facts = self.read(events.list_events, cleared=True)
        self.assertEqual([each.event.code for each in facts], ["canary-promoted"])
        self.assertEqual(self.promote_due(NOW + DAY_S), 0)

    def test_a_failing_canary_keeps_it_back(self) -> None:
        """One that does not hold it, or has a problem; one event says which, until it is over."""
        self.version(2)
        due = NOW + 2 * HOUR_S
        self.assertEqual(self.promote_due(due), 0)
        self.assertIn("canary does not hold it", self.open_events()["canary-failed"])
        self.well("canary", problem={"message": "the disk is full", "code": "no-space"})
        self.assertEqual(self.promote_due(due), 0)
        self.assertIn("the disk is full", self.open_events()["canary-failed"])
        self.assertEqual(self.everybody(), ["2", "1", "1"])
        self.well("canary")
        self.assertEqual(self.promote_due(due), 1)
        self.assertEqual((self.everybody(), self.open_events()), (["2", "2", "2"], {}))

    def test_a_silent_canary_keeps_it_back(self) -> None:
        """What it said before it fell silent counts no more, until it is heard again."""
        self.version(2)
        self.well("canary")
        silent = Event("rack-silent", Severity.WARNING, "rack canary", "it says nothing")
        self.write(events.raise_event, silent, NOW)
        due = NOW + 2 * HOUR_S
        self.assertEqual(self.promote_due(due), 0)
        self.assertIn("canary has been silent for long", self.open_events()["canary-failed"])
        self.write(events.clear_event, "rack-silent", "rack canary", NOW)
        self.assertEqual(self.promote_due(due), 1)

    def test_each_version_waits_its_own_time(self) -> None:
        """A second one restarts nothing; the others get what the canaries had when it is due."""
        self.version(2)
        self.version(3, now=NOW + HOUR_S)
        self.version(4, of=NOBLE, now=NOW + HOUR_S)
        self.assertEqual(self.everybody(), ["3", "1", "1"])
        self.assertEqual(self.everybody(NOBLE), ["4", None, None])
        self.well("canary")
        self.promote_due(NOW + 2 * HOUR_S)
        self.assertEqual(self.everybody(), ["3", "2", "2"])
        self.assertEqual(self.everybody(NOBLE), ["4", None, None])
        self.well("canary")
        self.promote_due(NOW + 3 * HOUR_S)
        self.assertEqual(self.everybody(), ["3", "3", "3"])
        self.assertEqual(self.everybody(NOBLE), ["4", "4", "4"])

    def test_two_that_are_due_together_are_the_later_one(self) -> None:
        """Nobody looked for long: what was overtaken is left out."""
        self.version(2)
        self.version(3, now=NOW + HOUR_S)
        self.well("canary")
        self.assertEqual(self.promote_due(NOW + DAY_S), 1)
        self.assertEqual((self.everybody(), self.read(canaries.waiting)), (["3"] * 3, ()))

    def test_an_admin_promotes(self) -> None:
        """At once, whatever the time and the canaries; also where no time was said."""
        self.canary("canary", after=canaries.BY_ADMIN)
        self.version(2)
        self.assertEqual(self.promote_due(NOW + 100 * DAY_S), 0)
        self.assertEqual(self.everybody(), ["2", "1", "1"])
        self.write(promotions.change, None, None, NOW, promotes=True)
        self.assertEqual(self.everybody(), ["2", "2", "2"])
        self.assertEqual(self.read(canaries.names), ("canary",))

    def test_without_canaries_all_get_it(self) -> None:
        """Ending it promotes what waits, and what comes then goes to all."""
        self.version(2)
        self.canary()
        self.assertEqual(self.everybody(), ["2", "2", "2"])
        self.version(3)
        self.assertEqual(self.everybody(), ["3", "3", "3"])
        self.assertEqual(self.read(canaries.waiting), ())

    def test_another_time_is_for_what_comes(self) -> None:
        """What waits keeps the time that was said when it was published."""
        self.version(2)
        self.canary("canary", after=DAY_S)
        self.version(3, of=NOBLE)
        times = [each.due_at for each in self.read(canaries.waiting)]
        self.assertEqual(times, [NOW + 2 * HOUR_S, NOW + DAY_S])

    def test_who_becomes_a_canary_gets_it_and_who_is_none_any_more_goes_back(self) -> None:
        """By the list of now, at once."""
        self.version(2)
        self.canary("other")
        self.assertEqual(self.everybody(), ["1", "2", "1"])

    def test_an_unknown_rack_is_refused(self) -> None:
        """And nothing is changed."""
        self.assertRaises(NotFound, self.canary, "canary", "nobody")
        self.assertEqual(self.read(canaries.names), ("canary",))

    def test_a_deleted_canary_stands_in_nobodys_way(self) -> None:
        """What waits goes at its time; without canaries what comes goes to all."""
        self.version(2)
        self.write(racks.delete_rack, "canary", NOW)
        self.assertEqual(self.everybody()[1:], ["1", "1"])
        self.version(3, of=NOBLE)
        self.assertEqual(self.everybody(NOBLE)[1:], ["3", "3"])
        self.promote_due(NOW + 2 * HOUR_S)
        self.assertEqual(self.everybody()[1:], ["2", "2"])

    def test_a_restricted_rack_waits_within_its_restriction(self) -> None:
        """Restricted while it waits, it holds what it had, but for what it may not."""
        self.version(3, of=NOBLE)
        self.version(2)
        self.canary("canary", "small")
        self.write(generations.restrict_rack, "small", ("*/jammy",), NOW)
        self.write(generations.restrict_rack, "other", ("*/jammy",), NOW)
        self.assertEqual(self.everybody(), ["2", "1", "2"])
        self.assertEqual(self.everybody(NOBLE), ["3", None, None])

    def test_what_is_deleted_leaves_all_racks(self) -> None:
        """An image goes in every version that some rack shows; one version goes alone."""
        second = self.version(2)
        self.write(publication.retire_images, [self.first], None, NOW)
        self.assertEqual(self.everybody(), ["2", None, None])
        self.write(publication.retire_images, [second], None, NOW)
        self.assertEqual(self.everybody(), [None] * 3)
        self.version(1)
        newer = self.version(2)
        self.write(promotions.change, None, None, NOW, promotes=True)
        self.version(3)
        self.assertEqual(self.everybody(), ["3", "2", "2"])
        (published,) = self.read(images.list_images, ("published",))
        self.write(publication.retire_images, [published.id], None, NOW)
        self.assertEqual(self.everybody(), [None] * 3)
        self.assertEqual(self.read(images.image_details, newer).state, "retired")

    def test_going_back_is_for_all_at_once(self) -> None:
        """What waited waits no longer, and is not promoted by its time."""
        second = self.version(2)
        self.write(pins.roll_back, second, NOW)
        self.assertEqual(self.everybody(), ["1", "1", "1"])
        self.well("canary")
        self.assertEqual(self.promote_due(NOW + DAY_S), 0)
        self.write(pins.unpin, self.first, NOW)
        self.version(3)
        self.assertEqual(self.everybody(), ["3", "1", "1"])

    def test_going_back_from_a_trial_leads_to_what_the_others_hold(self) -> None:
        """Not to an earlier trial: that would be on all racks at once, and nobody tried it enough."""
        self.write(settings.put, VERSIONS, 3, NOW)
        second = self.version(2)
        third = self.version(3)
        self.assertEqual(self.everybody(), ["3", "1", "1"])
        self.write(pins.roll_back, third, NOW)
        self.assertEqual(self.everybody(), ["1", "1", "1"])
        self.write(pins.roll_back, second, NOW)
        self.assertEqual(self.everybody(), ["2", "2", "2"])

    def test_the_first_image_of_all(self) -> None:
        """Canaries get it although the others are to hold nothing yet."""
        for each in self.read(images.list_images):
            self.write(publication.retire_images, [each.id], None, NOW)
        self.version(3, of=NOBLE)
        self.assertEqual(self.everybody(NOBLE), ["3", None, None])

    def test_every_change_is_told(self) -> None:
        """Whoever watches the feed looks again."""
        last = self.read(changes.last_id)
        self.canary("canary", after=DAY_S)
        self.assertIn("canary", [each.kind for each in self.read(changes.since, last)])

    def test_as_many_versions_are_kept_as_ever(self) -> None:
        """What the others hold counts, so that it costs no more than one version."""
        self.write(settings.put, VERSIONS, 2, NOW)
        self.version(2)
        self.version(3)
        states = {each.version: each.state for each in self.read(images.list_images)}
        self.assertEqual(states, {"1": "kept", "2": "kept", "3": "published"})
        self.write(promotions.change, None, None, NOW, promotes=True)
        states = {each.version: each.state for each in self.read(images.list_images)}
        self.assertEqual(states, {"2": "kept", "3": "published"})


class CanariesOnSQLite(CanarySuite, OnSQLite):
    pass


class CanariesOnPostgreSQL(CanarySuite, OnPostgreSQL):
    pass
