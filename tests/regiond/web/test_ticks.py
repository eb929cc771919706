"""Releases and architectures to tick."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.errors import Conflict
from regiond.web.ticks import TickTable, changes_to, demand_state, state_of, tick_tables

TITLES = {"jammy": "22.04 LTS", "noble": "24.04 LTS", "oracular": "24.10", "9": "CentOS 9"}


def offer(release: str, arch: str = "amd64", os: str = "ubuntu", **more: Any) -> dict[str, Any]:
    """As available-images read has it."""
    row = {"os": os, "release": release, "arch": arch, "bootloader_type": None}
    return row | {"release_title": TITLES.get(release, "")} | more


def selection(
    release: str, *arches: str, os: str = "ubuntu", id: int = 1, **more: Any
) -> dict[str, Any]:
    """As boot-source-selections read has it."""
    row = {"id": id, "os": os, "release": release, "arches": list(arches) or ["*"]}
    return row | {"subarches": ["*"], "labels": ["*"], "state": "checked"} | more


OFFERS = [
    offer("oracular"), offer("jammy"), offer("jammy", "arm64"), offer("noble"),
    offer("9", os="centos"),
    offer("pxe", os="grub", bootloader_type="pxe"),
]  # fmt: skip


def ticked(tables: list[TickTable]) -> set[str]:
    """The values of all boxes that are ticked."""
    return {row.value(arch) for table in tables for row in table.rows for arch in row.ticked}


class TableTests(SynchronousTestCase):
    def test_ubuntu_first_and_the_newest_lts_first(self) -> None:
        """As MAAS shows them, after the words whose meaning moves; no bootloaders."""
        tables = tick_tables(OFFERS, [])
        self.assertEqual([table.os for table in tables], ["ubuntu", "centos"])
        self.assertEqual(
            [row.release for row in tables[0].rows],
            ["latest-lts", "supported", "noble", "jammy", "oracular"],
        )
        self.assertEqual(tables[0].arches, ("amd64", "arm64"))
        self.assertEqual([row.release for row in tables[1].rows], ["supported", "9"])

    def test_a_release_has_boxes_for_what_it_is_offered_for(self) -> None:
        """And no others."""
        rows = {row.release: row for row in tick_tables(OFFERS, [])[0].rows}
        self.assertEqual(rows["jammy"].arches, ("amd64", "arm64"))
        self.assertEqual(rows["noble"].arches, ("amd64",))

    def test_selections_are_ticked(self) -> None:
        """Names, globs, and words whose meaning moves."""
        chosen = [
            selection("jammy", "*"), selection("latest-lts", "amd64", id=2),
            selection("9", "amd64", os="centos", id=3),
        ]  # fmt: skip
        self.assertEqual(
            ticked(tick_tables(OFFERS, chosen)),
            {"ubuntu/jammy/amd64", "ubuntu/jammy/arm64", "ubuntu/latest-lts/amd64",
             "centos/9/amd64"},
        )  # fmt: skip

    def test_what_boxes_cannot_say_is_said_in_words(self) -> None:
        """Kernels, labels, globs, and that nobody could look it up."""
        chosen = [
            selection("jammy", "a*", subarches=["hwe-22.04"], labels=["stable"], state="unchecked")
        ]
        (row,) = [row for row in tick_tables(OFFERS, chosen)[0].rows if row.release == "jammy"]
        self.assertEqual(
            row.selected,
            "architectures a*; kernels hwe-22.04; labels stable; not looked up yet",
        )

    def test_a_selection_of_something_that_is_gone_can_be_unticked(self) -> None:
        """Or of a pattern: it has a row of its own."""
        chosen = [selection("hirsute", "amd64"), selection("f*", "arm64", id=2)]
        rows = {row.release: row for row in tick_tables(OFFERS, chosen)[0].rows}
        self.assertEqual(rows["hirsute"].ticked, ("amd64",))
        self.assertEqual(rows["f*"].ticked, ("arm64",))
        (only,) = tick_tables([], [selection("hirsute", "amd64")])
        self.assertEqual([row.release for row in only.rows], ["hirsute"])


class ChangeTests(SynchronousTestCase):
    @given(
        st.lists(
            st.builds(
                selection,
                st.sampled_from(["jammy", "noble", "f*", "latest-lts", "gone"]),
                st.sampled_from(["amd64", "arm64", "*", "a*"]),
            ),
            unique_by=lambda row: row["release"],
        )
    )
    def test_saving_what_is_shown_changes_nothing(self, chosen: list[dict[str, Any]]) -> None:
        """Whatever was selected, and however."""
        tables = tick_tables(OFFERS, chosen)
        self.assertEqual(changes_to(tables, ticked(tables)), [])

    def test_only_rows_that_were_touched_change(self) -> None:
        """One is made, one gets another list of architectures, one goes; a glob stays."""
        chosen = [
            selection("jammy", "amd64", id=1), selection("oracular", "amd64", id=2),
            selection("f*", "*", id=3),
        ]  # fmt: skip
        tables = tick_tables(OFFERS, chosen)
        wanted = ticked(tables) - {"ubuntu/oracular/amd64"}
        wanted |= {"ubuntu/jammy/arm64", "ubuntu/noble/amd64"}
        changes = [(c.release, c.arches, c.selection_id) for c in changes_to(tables, wanted)]
        self.assertEqual(
            sorted(changes),
            [("jammy", ("amd64", "arm64"), 1), ("noble", ("amd64",), None), ("oracular", (), 2)],
        )

    def test_boxes_that_do_not_exist_are_not_believed(self) -> None:
        """A form may hold anything."""
        self.assertEqual(changes_to(tick_tables(OFFERS, []), {"ubuntu/noble/riscv64", "x"}), [])

    def test_nobody_undoes_what_they_have_not_seen(self) -> None:
        """Another selection, another offer: look again."""
        before = tick_tables(OFFERS, [])
        demand_state(tick_tables(OFFERS, []), state_of(before))
        for later in (tick_tables(OFFERS, [selection("noble")]), tick_tables(OFFERS[1:], [])):
            with self.assertRaises(Conflict) as caught:
                demand_state(later, state_of(before))
            self.assertEqual(caught.exception.code, "web-overtaken")
