"""What is said of each rack."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from regiond.web.fleet_list import rack_rows


def rack(name: str = "rack-1", status: str = "synced", **more: Any) -> dict[str, Any]:
    """As rack-controllers read has it."""
    row = {"name": name, "state": "active", "status": status, "generation": 7, "progress": None}
    row |= {"lag_generations": 0, "lag_since": None, "last_sync": 1.0, "problem": None}
    return row | more


class RowTests(SynchronousTestCase):
    def test_those_that_need_somebody_come_first(self) -> None:
        """Problems, silence, lag, then all is well."""
        racks = [
            rack("a"), rack("b", "syncing"), rack("c", "unknown"), rack("d", "out-of-sync"),
            rack("e", problem={"message": "disk full"}),
        ]  # fmt: skip
        self.assertEqual([row.name for row in rack_rows(racks)], ["e", "c", "d", "b", "a"])

    def test_how_far_behind(self) -> None:
        """In generations; a rack that holds nothing lacks everything."""
        for generation, behind, said in (
            (7, 0, "0"),
            (7, 1, "1 generation"),
            (5, 3, "3 generations"),
            (0, 8, "everything"),
        ):
            (row,) = rack_rows([rack(generation=generation, lag_generations=behind)])
            self.assertEqual(row.lag_said, said)

    def test_a_rate_where_there_is_one(self) -> None:
        """In units for people."""
        for rate_bytes_s, said in ((2048.0, "2 KiB/s"), (None, "")):
            progress = {"fetched_bytes": 500, "total_bytes": 1000, "rate_bytes_s": rate_bytes_s}
            (row,) = rack_rows([rack(status="syncing", progress=progress)])
            self.assertEqual((row.rate_said, row.done), (said, 0.5))
