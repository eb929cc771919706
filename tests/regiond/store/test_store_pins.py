"""Pinned versions, and going back to a kept one."""

from common.errors import Conflict, NotFound
from regiond.store import changes, generations, images, pins, publication, revisions, settings
from regiond.store.kept import VERSIONS
from tests.doubles.stores import NOW, OnPostgreSQL, OnSQLite, Store, content, key

CONTENTS = [content(10, seed=each) for each in range(4)]


class PinSuite(Store):
    """Three versions of one image: two kept, the third published."""

    def setUp(self) -> None:
        super().setUp()
        self.take_lease()
        self.write(settings.put, VERSIONS, 3, NOW)
        self.ids = [self.publish([CONTENTS[each]], version=str(each)) for each in range(3)]

    def states(self) -> list[str]:
        found = [self.read(images.image_details, each) for each in self.ids]
        return [f"{each.state}{'!' if each.pinned else ''}" for each in found]

    def refused(self, code: str, work: object, *args: object) -> Conflict:
        with self.assertRaises(Conflict) as caught:
            self.write(work, *args)  # type: ignore[arg-type]  # a store function
        self.assertEqual(caught.exception.code, code)
        return caught.exception

    def test_what_is_pinned_is_not_replaced(self) -> None:
        """A newer version that is complete all the same is refused, and the others are not."""
        self.write(pins.pin, self.ids[2], NOW)
        newer = self.stage([CONTENTS[3]], version="3")
        other = self.stage([CONTENTS[3]], version="3", of=key("noble"))
        self.store(CONTENTS[3])
        published = self.write(publication.publish_images, [newer, other], self.epoch, NOW)
        self.assertEqual(
            {each: why.code for each, why in published.refused.items()}, {newer: "image-pinned"}
        )
        self.assertEqual(self.states(), ["kept", "kept", "published!"])
        self.assertEqual(self.read(images.image_details, other).state, "published")

    def test_what_is_pinned_is_not_deleted(self) -> None:
        """An admin is told how; an import that does not want it leaves it alone."""
        self.write(pins.pin, self.ids[2], NOW)
        generation = self.read(generations.current_generation)
        error = self.refused("image-pinned", publication.retire_images, [self.ids[2]], None, NOW)
        self.assertIn(f"unpin {self.ids[2]}", error.remedy)
        self.write(publication.retire_images, self.ids[2:], self.epoch, NOW)
        self.assertEqual(self.states(), ["kept", "kept", "published!"])
        self.assertEqual(self.read(generations.current_generation), generation)

    def test_unpinned_it_is_as_any_other(self) -> None:
        """It can be replaced and deleted."""
        self.write(pins.pin, self.ids[2], NOW)
        self.assertTrue(self.write(pins.unpin, self.ids[2], NOW).pinned)
        self.assertFalse(self.write(pins.unpin, self.ids[2], NOW).pinned)
        self.publish([CONTENTS[3]], version="3")
        self.assertEqual(self.states(), ["retired", "kept", "kept"])

    def test_only_what_is_published_can_be_pinned(self) -> None:
        """Each other state is named, with what to do instead."""
        importing = self.stage([CONTENTS[3]], version="3")
        self.write(publication.retire_images, self.ids[:1], None, NOW)
        for work in (pins.pin, pins.unpin):
            for image_id, code in (
                (self.ids[0], "image-retired"),
                (self.ids[1], "image-not-published"),
                (importing, "image-not-published"),
            ):
                self.assertTrue(self.refused(code, work, image_id, NOW).remedy)
            self.assertRaises(NotFound, self.write, work, 99, NOW)
        for image_id, code in (
            (self.ids[0], "image-retired"), (importing, "image-not-published")
        ):  # fmt: skip
            self.assertTrue(self.refused(code, pins.roll_back, image_id, NOW).remedy)
        self.assertRaises(NotFound, self.write, pins.roll_back, 99, NOW)

    def test_going_back_step_by_step(self) -> None:
        """To the next older one each time, pinned; then there is none, which changes nothing."""
        first = self.write(pins.roll_back, self.ids[2], NOW)
        self.assertEqual((first.now.id, first.before and first.before.id), tuple(self.ids[1:]))
        self.assertEqual(self.states(), ["kept", "published!", "kept"])
        self.assertEqual(first.now.waiting_version, "2")
        self.write(pins.roll_back, self.ids[1], NOW)
        self.assertEqual(self.states(), ["published!", "kept", "kept"])
        generation = self.read(generations.current_generation)
        self.refused("image-no-older", pins.roll_back, self.ids[0], NOW)
        self.assertEqual(self.states(), ["published!", "kept", "kept"])
        self.assertEqual(self.read(generations.current_generation), generation)

    def test_going_to_a_kept_version(self) -> None:
        """By its own id, an older one or a newer one; each is one generation."""
        number, _ = self.read(generations.current_generation)
        self.assertEqual(self.write(pins.roll_back, self.ids[0], NOW).generation, number + 1)
        self.assertEqual(self.states(), ["published!", "kept", "kept"])
        forward = self.write(pins.roll_back, self.ids[2], NOW)
        self.assertEqual((forward.generation, forward.now.waiting_version), (number + 2, None))
        self.assertEqual(self.states(), ["kept", "kept", "published!"])

    def test_a_kept_version_without_a_published_one(self) -> None:
        """The published one was deleted: what is kept can be had back."""
        self.write(publication.retire_images, self.ids[2:], None, NOW)
        self.assertIsNone(self.write(pins.roll_back, self.ids[1], NOW).before)
        self.assertEqual(self.states(), ["kept", "published!", "retired"])

    def test_what_is_published_again_can_be_replaced_again(self) -> None:
        """After the unpin; the same version once more is held once."""
        self.write(pins.roll_back, self.ids[2], NOW)
        self.write(pins.unpin, self.ids[1], NOW)
        again = self.publish([CONTENTS[2]], version="2")
        self.assertEqual(self.states(), ["kept", "kept", "retired"])
        self.assertEqual(self.read(images.image_details, again).state, "published")

    def test_every_change_is_told(self) -> None:
        """Imports of all regions look again, and the feed names the image."""
        for work, image_id in (
            (pins.pin, self.ids[2]), (pins.unpin, self.ids[2]), (pins.roll_back, self.ids[2])
        ):  # fmt: skip
            revision = self.read(revisions.selection_revision)
            last = self.read(changes.last_id)
            self.write(work, image_id, NOW)
            self.assertGreater(self.read(revisions.selection_revision), revision)
            told = self.read(changes.since, last)
            self.assertIn("image", [each.kind for each in told])

    def test_what_waits_is_kept_with_the_pin(self) -> None:
        """As the last import saw it, for pinned images alone; gone with the pin."""
        self.write(pins.pin, self.ids[2], NOW)
        self.write(pins.note_waiting, {self.ids[2]: "3", self.ids[1]: "3"}, NOW)
        last = self.read(changes.last_id)
        self.write(pins.note_waiting, {self.ids[2]: "3"}, NOW)
        self.assertEqual(self.read(changes.last_id), last)
        found = [self.read(images.image_details, each).waiting_version for each in self.ids]
        self.assertEqual(found, [None, None, "3"])
        self.write(pins.unpin, self.ids[2], NOW)
        self.assertIsNone(self.read(images.image_details, self.ids[2]).waiting_version)


class PinsOnSQLite(PinSuite, OnSQLite):
    pass


class PinsOnPostgreSQL(PinSuite, OnPostgreSQL):
    pass
