"""What is said of each image on its way."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from regiond.spread import Spread
from regiond.web.image_list import ImageRow, image_rows, in_groups, of_kind

KEY = "ubuntu/amd64/ga-22.04/jammy/stable"


def image(state: str = "published", complete_bytes: int = 200, **more: Any) -> dict[str, Any]:
    """As boot-resources read has it."""
    row = {
        "id": 1,
        "type": "synced",
        "name": "ubuntu/jammy",
        "architecture": "amd64/ga-22.04",
        "label": "stable",
        "bootloader_type": None,
        "pinned": False,
        "version": "20260101",
        "state": state,
        "size_bytes": 200,
        "complete_bytes": complete_bytes,
    }
    return row | more


OFFER = {
    "os": "ubuntu", "release": "jammy", "arch": "amd64", "subarch": "ga-22.04", "label": "stable",
    "version": "20260201", "size_bytes": 300, "release_title": "22.04 LTS", "selected": True,
    "bootloader_type": None,
}  # fmt: skip


class TitleTests(SynchronousTestCase):
    def test_what_no_source_offers_has_the_title_that_it_was_given(self) -> None:
        """An upload's is what people read; of what is offered it is the release's."""
        mine = image(name="custom/mine", type="uploaded", label="uploaded", title="Ours")
        rows = image_rows([image(title="x"), mine], [OFFER], {}, [], is_importing=False)
        self.assertEqual({row.name: row.title for row in rows},
                         {"ubuntu/jammy": "22.04 LTS", "custom/mine": "Ours"})  # fmt: skip


class StateTests(SynchronousTestCase):
    def row(
        self,
        *images: dict[str, Any],
        spread: Spread | None = None,
        problem: str = "",
        is_importing: bool = True,
    ) -> ImageRow:
        known = {KEY: spread} if spread else {}
        problems = [{"object": KEY, "cause": problem}] if problem else []
        (row,) = image_rows(images, [OFFER], known, problems, is_importing=is_importing)
        return row

    def test_the_way_of_an_image(self) -> None:
        """Queued, downloading, verifying, syncing, synced: each with what there is to say."""
        for images, spread, state, said, done in (
            ([], None, "queued", "queued", None),
            ([image("importing", 0)], None, "queued", "queued", None),
            ([image("importing", 101)], None, "downloading", "downloading 50 %", 0.505),
            ([image("importing")], None, "verifying", "verifying", None),
            ([image()], Spread(1, 4), "syncing", "syncing to racks 1/4", None),
            ([image()], Spread(4, 4), "synced", "synced", None),
            ([image()], None, "published", "imported; no rack is to hold it", None),
        ):
            row = self.row(*images, spread=spread)
            self.assertEqual((row.state, row.said, row.done), (state, said, done))

    def test_without_an_import_nothing_downloads(self) -> None:
        """What was begun is stopped, what was not waits."""
        self.assertEqual(
            self.row(image("importing", 100), is_importing=False).said, "stopped at 50 %"
        )
        self.assertEqual(self.row(is_importing=False).said, "queued for the next import")

    def test_a_new_version_beside_the_old(self) -> None:
        """One row: the new one's way, with the old one in use, which is what can be deleted."""
        row = self.row(image(id=1), image("importing", 50, id=2, version="20260201"))
        self.assertEqual(row.said, "new version: downloading 25 %")
        self.assertEqual((row.version, row.image_id), ("20260201", 1))

    def test_a_failure_is_told(self) -> None:
        """And whether something is in use all the same."""
        self.assertEqual(self.row(problem="gone").said, "failed: gone")
        said = self.row(image(), spread=Spread(1, 1), problem="gone").said
        self.assertEqual(said, "in use; its update failed: gone")

    def test_damage_is_told(self) -> None:
        """Bytes of a published version went bad; it can still be deleted, for example."""
        row = self.row(image("damaged", 50, id=3), spread=Spread(1, 1))
        self.assertEqual((row.state, row.image_id), ("failed", 3))
        self.assertIn("went bad", row.said)

    def test_older_versions_are_counted(self) -> None:
        """They have no row of their own."""
        row = self.row(image(), image("kept", id=2, version="1"), image("kept", id=3, version="0"))
        self.assertEqual((row.kept, row.image_id), (2, 1))

    def test_what_is_selected_has_a_row_though_only_older_versions_are_left(self) -> None:
        """Somebody deleted the published one: it is fetched again, and nothing is to be deleted."""
        row = self.row(image("kept"), is_importing=False)
        self.assertEqual(
            (row.said, row.kept, row.image_id), ("queued for the next import", 1, None)
        )
        self.assertEqual(row.version, "20260201")

    def test_a_pinned_version_is_marked(self) -> None:
        """Or somebody would wonder why it gets no newer."""
        self.assertTrue(self.row(image(pinned=True)).pinned)
        self.assertFalse(self.row(image()).pinned)

    def test_the_source_says_what_it_is_called(self) -> None:
        """Before anything of it is here, and after."""
        for images in ((), (image(),)):
            self.assertEqual(self.row(*images).title, "22.04 LTS")


class KindTests(SynchronousTestCase):
    def test_each_table_has_its_own(self) -> None:
        """Ubuntu, other systems, uploads, bootloaders."""
        rows = image_rows(
            [
                image(),
                image(id=2, name="centos/9"),
                image(id=3, name="custom/mine", type="uploaded"),
                image(id=4, name="grub/pxe", bootloader_type="pxe"),
            ],
            [],
            {},
            [],
            is_importing=False,
        )
        for kind, name in (
            ("ubuntu", "ubuntu/jammy"),
            ("other", "centos/9"),
            ("uploaded", "custom/mine"),
            ("bootloader", "grub/pxe"),
        ):
            self.assertEqual([row.name for row in of_kind(rows, kind)], [name])

    def test_what_is_offered_and_not_selected_is_not_listed(self) -> None:
        """It is among the boxes to tick."""
        offers = [{**OFFER, "selected": False}]
        self.assertEqual(image_rows([], offers, {}, [], is_importing=False), [])

    def test_a_version_that_is_merely_kept_is_not_listed(self) -> None:
        """No rack has it."""
        self.assertEqual(image_rows([image("kept")], [], {}, [], is_importing=False), [])

    def test_every_row_has_a_name_of_its_own(self) -> None:
        """That may stand in any page."""
        rows = image_rows([image(), image(id=2, label="daily")], [], {}, [], is_importing=False)
        ids = {row.html_id for row in rows}
        self.assertEqual(len(ids), 2)
        for html_id in ids:
            self.assertRegex(html_id, r"^i[A-Za-z0-9_-]{8}$")

    def test_a_name_is_said_once(self) -> None:
        """By the first of its rows, with the title that any of them has."""
        images = [
            image(id=number, name=name, architecture=f"amd64/{number}")
            for number, name in enumerate(("ubuntu/focal", "ubuntu/jammy", "ubuntu/jammy"))
        ]
        offer = {**OFFER, "subarch": "2"}
        rows = in_groups(image_rows(images, [offer], {}, [], is_importing=False))
        self.assertEqual(
            [(row.name, row.group, row.title) for row in rows],
            [
                ("ubuntu/focal", 1, ""),
                ("ubuntu/jammy", 2, "22.04 LTS"),
                ("ubuntu/jammy", 0, "22.04 LTS"),
            ],
        )
