"""One screen that says whether all is well, and what to do if not."""

import re
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from common.shell.render import Screen, for_people
from common.vocabulary import BY_NAME

NOW = 1_800_000_000.0
TERMINAL = Screen(is_terminal=True, width=80)
STATUS = BY_NAME["status", ""]


def source(id: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": id, "url": f"https://images.example/{id}/", "enabled": True,
            "last_success": NOW - 720, "lagging_since": None, **more}  # fmt: skip


def rack(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "status": "synced", "generation": 42, "lag_generations": 0,
            "lag_since": None, "last_seen": NOW - 5, "clock_skew_s": 0.1, "progress": None,
            "problem": None, **more}  # fmt: skip


def problem(**more: Any) -> dict[str, Any]:
    return {"severity": "error", "code": "no-space", "object": "rack rack-12", "first_at": NOW - 90,
            "cause": "disk: is full", "remedy": "free space", **more}  # fmt: skip


def region(**more: Any) -> dict[str, Any]:
    return {
        "name": "region-1", "release": "0.1.0", "now": NOW, "well": True, "verdict": "all is well",
        "generation": 42, "sources": [source()],
        "import": {"state": "idle", "progress": None, "missing_bytes": None, "next_at": NOW + 2880,
                   "last": {"outcome": "complete", "ended_at": NOW - 720, "work_s": 3.2,
                            "fetched_bytes": 1 << 30}},
        "images": {"published": 12, "importing": 1, "kept": 9, "published_bytes": 10 << 30},
        "space": {"database_bytes": 20 << 30, "held_bytes": 19 << 30, "free_bytes": 112 << 30,
                  "reserve_bytes": 1 << 30},
        "scrub": {"state": "idle", "checked_bytes": 0, "total_bytes": 0, "damaged": 0,
                  "ended_at": NOW - 86400, "next_at": NOW + 86400},
        "racks": [rack("rack-1")], "problems": [], **more,
    }  # fmt: skip


def lines(status: dict[str, Any], screen: Screen = TERMINAL) -> list[str]:
    text = for_people(STATUS, status, screen)
    return re.sub(r"\x1b\[[\d;]*m", "", text).splitlines()


class RegionScreenTests(SynchronousTestCase):
    def test_all_is_well(self) -> None:
        """The verdict, and a line for each part."""
        self.assertEqual(
            lines(region()),
            [
                "All is well: region region-1, generation 42, release 0.1.0",
                "sources   1  read 12 min ago  https://images.example/1/",
                "import    idle; last complete 12 min ago, 1 GiB in 3 s; next in 48 min",
                "images    12 published, 1 importing, 9 kept; 10 GiB",
                "space     database 20 GiB; 112 GiB free, of which 1 GiB stay free",
                "scrub     0 damaged, ended 1 d ago; next in 1 d",
                "racks     1: 1 synced",
            ],
        )

    def test_two_hundred_racks_are_one_screen(self) -> None:
        """Those that need somebody, the worst first; the others are counted."""
        full = {"code": "no-space", "object": "disk", "message": "is full", "remedy": "free space"}
        moving = {"fetched_bytes": 1 << 30, "total_bytes": 3 << 30, "rate_bytes_s": float(20 << 20)}
        behind = {"lag_generations": 2, "lag_since": NOW - 1200}
        racks = [rack(f"rack-{number}") for number in range(180)]
        racks += [
            rack(f"moving-{n}", status="syncing", progress=moving, **behind) for n in range(9)
        ]
        racks += [rack("skewed", clock_skew_s=-75.0),
                  rack("away", status="unknown", last_seen=NOW - 3 * 3600),
                  rack("full", status="out-of-sync", problem=full, **behind)]  # fmt: skip
        rows = lines(region(racks=racks, problems=[problem()], well=False, verdict="2 errors"))
        self.assertLessEqual(len(rows), 24)
        self.assertLessEqual(max(map(len, rows)), 80)
        at = rows.index("racks     192: 181 synced, 9 syncing, 1 out-of-sync, 1 unknown")
        self.assertEqual(
            [line[2:] for line in rows[at + 1 : at + 4]],
            [
                "full      out-of-sync, no-space: is full, 2 generations (20 min) behind",
                "away      unknown, last seen 3 h ago",
                "moving-0  syncing, 1 GiB of 3 GiB, 20 MiB/s, 1 min 42 s left, 2 generation...",
            ],
        )
        self.assertEqual(rows[at + 7], "  ... and 5 syncing, 1 synced")
        self.assertEqual(
            rows[at + 8 :],
            [
                "",
                "error no-space for 1 min 30 s: rack rack-12",
                "  disk: is full",
                "  -> free space",
            ],
        )

    def test_what_is_pinned_and_what_waits(self) -> None:
        """By name, if something newer waits; of many the first few."""
        row = {"name": "ubuntu/jammy", "architecture": "amd64/ga-22.04", "version": "20261101",
               "waiting_version": "20261121"}  # fmt: skip
        rows = lines(region(pinned=[row, {**row, "waiting_version": None}]))
        self.assertIn("images    12 published, 1 importing, 9 kept, 2 pinned; 10 GiB", rows)
        told = "          ubuntu/jammy amd64/ga-22.04 is pinned to 20261101; 20261121 waits"
        self.assertEqual([row for row in rows if "waits" in row], [told])
        rows = lines(region(pinned=[row] * 9))
        self.assertEqual((rows.count(told), "          ... and 5 more" in rows), (4, True))

    def test_canaries(self) -> None:
        """Who they are, who waits for what, and until when."""

        def told(**more: object) -> list[str]:
            canaries = {
                "names": ["rack-1"],
                "racks_waiting": 4,
                "due_at": None,
                "waiting": [{}] * 3,
            }
            rows = lines(region(canaries=canaries | more), Screen())
            return [row.removeprefix("canaries").strip() for row in rows if "canaries" in row]

        waits = "rack-1; 4 racks wait for 3 versions, the next: "
        self.assertEqual(told(due_at=NOW + 5400), [f"{waits}in 1 h 30 min"])
        self.assertEqual(told(due_at=NOW - 1), [f"{waits}when canaries are well"])
        self.assertEqual(told(), [f"{waits}rackferry rack-controllers canary promote"])
        one = told(racks_waiting=1, waiting=[{}], due_at=NOW - 1)
        self.assertEqual(
            one, ["rack-1; 1 rack waits for 1 version, the next: when canaries are well"]
        )
        self.assertIn("; no racks wait for 3 versions", told(racks_waiting=0)[0])
        self.assertEqual(told(waiting=[]), ["rack-1; nothing waits for the other racks"])
        self.assertEqual(told(names=[], waiting=[]), [])

    def test_a_clock_that_is_wrong(self) -> None:
        """It is named although the rack is synced; what is below a minute is not."""
        racks = [rack("a", clock_skew_s=75.0), rack("b", clock_skew_s=59.0)]
        rows = lines(region(racks=racks))
        self.assertIn("  a  synced, its clock is 1 min 15 s ahead", rows)
        self.assertNotIn("59", "".join(rows))

    def test_the_same_problem_of_many_is_one(self) -> None:
        """And no problem is cut: what to do stands there in full."""
        long = "look at it, " * 20
        problems = [problem(object=f"rack rack-{number}") for number in range(50)]
        problems += [problem(severity="warning", code="old", cause=long, remedy=long)]
        rows = lines(region(problems=problems))
        self.assertIn("error no-space for 1 min 30 s: rack rack-0 and 49 others", rows)
        self.assertEqual(" ".join(" ".join(rows).split()).count("look at it,"), 40)
        self.assertLessEqual(max(map(len, rows)), 79)

    def test_too_many_problems(self) -> None:
        """The rest is counted, and where to read it is said."""
        rows = lines(region(problems=[problem(code=f"c{number}") for number in range(30)]))
        self.assertEqual(rows[-1], "... and 22 more: rackferry events read level=warning")

    def test_an_import_that_runs(self) -> None:
        """How far it is, how fast, and how long it takes yet."""
        progress = {"phase": "fetching", "published": 3, "total_images": 12,
                    "fetched_bytes": 1 << 30, "total_bytes": 3 << 30,
                    "rate_bytes_s": float(100 << 20)}  # fmt: skip
        running = {"state": "running", "progress": progress, "missing_bytes": None,
                   "next_at": None, "last": None}  # fmt: skip
        self.assertIn(
            "import    fetching, 3 of 12 images, 1 GiB of 3 GiB, 100 MiB/s, 20 s left",
            lines(region(**{"import": running})),
        )
        parked = {**running, "state": "parked", "progress": None, "missing_bytes": 5 << 30}
        self.assertIn("import    parked; 5 GiB of space are missing",
                      lines(region(**{"import": parked})))  # fmt: skip

    def test_colour(self) -> None:
        """Green or red on a terminal that wants it, and nowhere else."""
        for well, code in ((True, "32"), (False, "31")):
            text = for_people(STATUS, region(well=well), TERMINAL)
            self.assertTrue(text.startswith(f"\x1b[1;{code}mAll is well\x1b[0m: region"), text[:40])
        plain = attrs.evolve(TERMINAL, is_plain=True)
        self.assertNotIn("\x1b", for_people(STATUS, region(), plain))

    def test_sources(self) -> None:
        """The one that was read longest ago comes first; one that lags says so."""
        rows = lines(
            region(
                sources=[
                    source(1, lagging_since=NOW - 3600),
                    source(2, last_success=None),
                    source(3, enabled=False),
                    *(source(number) for number in range(4, 9)),
                ]
            )
        )
        self.assertEqual(
            [row[10:] for row in rows[1:6]],
            [
                "2  never read yet                            https://images.exampl...",
                "1  read 12 min ago, older documents for 1 h  https://images.exampl...",
                "4  read 12 min ago                           https://images.exampl...",
                "5  read 12 min ago                           https://images.exampl...",
                "... and 4 more, read since",
            ],
        )

    def test_an_empty_region_says_how_to_begin(self) -> None:
        """What to type, for the first source and the first rack."""
        rows = lines(region(sources=[], racks=[]))
        self.assertTrue(rows[1].startswith("sources   none: rackferry boot-sources create"))
        self.assertTrue(rows[-1].startswith("racks     none: rackferry rack-controllers create"))

    def test_a_pipe_gets_whole_lines_without_colour(self) -> None:
        """What is read by a program is neither cut nor styled."""
        name = "r" * 200
        text = for_people(STATUS, region(racks=[rack(name, status="unknown")]), Screen())
        self.assertIn(name, text)
        self.assertNotIn("\x1b", text)

    def test_names_steer_no_terminal(self) -> None:
        """What a source or a rack says is shown, not obeyed."""
        text = for_people(STATUS, region(sources=[source(url="\x1b[2J")]), Screen())
        self.assertNotIn("\x1b", text)


class RackScreenTests(SynchronousTestCase):
    def rack(self, **more: Any) -> dict[str, Any]:
        return {
            "name": "rack-1", "release": "0.1.0", "now": NOW, "well": True,
            "verdict": "all is well", "status": "synced", "region_connected": True,
            "region_generation": 42, "generation": 42, "images": 12, "size_bytes": 10 << 30,
            "fetched_bytes": 0, "total_bytes": 0, "rate_bytes_s": None, "bandwidth": "unlimited",
            "waiting": "", "free_bytes": 5 << 30, "problems": [],
            "scrub": {"state": "idle", "checked_bytes": 0, "total_bytes": 0, "damaged": 0,
                      "ended_at": NOW - 86400, "next_at": NOW + 86400}, **more,
        }  # fmt: skip

    def test_all_is_well(self) -> None:
        """The same first line, and a line for each part."""
        self.assertEqual(
            lines(self.rack()),
            [
                "All is well: rack rack-1, generation 42, release 0.1.0",
                "region    connected, at generation 42",
                "sync      synced; bandwidth unlimited",
                "images    12; 10 GiB",
                "space     5 GiB free",
                "scrub     0 damaged, ended 1 d ago; next in 1 d",
            ],
        )

    def test_older_versions_at_hand(self) -> None:
        """How many of those that are to be; and why not all."""
        kept = {"images": 3, "complete": 2, "reason": "there is no room for more"}
        (told,) = [row for row in lines(self.rack(kept=kept)) if row.startswith("images")]
        self.assertTrue(told.startswith("images    12; 10 GiB; 2 of 3 older versions at hand (the"))

    def test_at_work_and_in_trouble(self) -> None:
        """How far a sync and a scrub are, that no region answers, and what to do."""
        scrub = {"state": "running", "checked_bytes": 1 << 30, "total_bytes": 2 << 30,
                 "damaged": 1, "ended_at": None, "next_at": None}  # fmt: skip
        rows = lines(
            self.rack(
                status="syncing", region_connected=False, fetched_bytes=1 << 30,
                total_bytes=3 << 30, rate_bytes_s=float(1 << 30), waiting="until 18:00",
                well=False, verdict="1 error", problems=[problem()], scrub=scrub,
            )
        )  # fmt: skip
        self.assertEqual(
            rows,
            [
                "1 error: rack rack-1, generation 42, release 0.1.0",
                "region    no region answers; what is held is served",
                "sync      syncing, 1 GiB of 3 GiB, 1 GiB/s, 2 s left; until 18:00; bandwidth...",
                "images    12; 10 GiB",
                "space     5 GiB free",
                "scrub     running, 1 GiB of 2 GiB, 1 damaged",
                "",
                "error no-space for 1 min 30 s: rack rack-12",
                "  disk: is full",
                "  -> free space",
            ],
        )
