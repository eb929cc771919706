"""How far something is, as a terminal and a log see it."""

import io
from typing import Any

import pyte
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.pace import Pace
from common.shell.progress import EVERY_S, ErrorStream, ProgressLines, part_line, whole_line

MIB = 1 << 20


def importing(done_mib: int, *parts: int, **more: Any) -> dict[str, Any]:
    return {
        "phase": "fetching", "published": 3, "total_images": 12,
        "fetched_bytes": done_mib * MIB, "total_bytes": 400 * MIB,
        "parts": [
            {"name": f"ubuntu/noble {n}", "state": "20260101", "fetched_bytes": part * MIB,
             "total_bytes": 100 * MIB}
            for n, part in enumerate(parts)
        ], **more,
    }  # fmt: skip


class ProgressCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.stream = io.StringIO()
        self.now = 0.0
        self.size = (80, 24)

    def lines(self, **more: Any) -> ProgressLines:
        return ProgressLines(ErrorStream(self.stream, lambda: self.size, lambda: self.now, **more))


class TextTests(SynchronousTestCase):
    def test_whatever_is_known(self) -> None:
        """Nothing is made up: no total, no share; no pace, no time."""
        pace = Pace().saw(0, 0).saw(10, 100 * MIB)
        self.assertEqual(whole_line({}, Pace()), "working")
        self.assertEqual(
            whole_line({"phase": "asking", "object": "u/j", "fetched_bytes": 512}, Pace()),
            "asking, 512 B, u/j",
        )
        self.assertEqual(
            whole_line(importing(100), pace),
            "fetching, 3 of 12 images, 100 MiB of 400 MiB (25 %), 10 MiB/s, 30 s left",
        )
        racks = {"phase": "syncing racks", "done": 3, "total": 5, "failed": 1}
        self.assertEqual(whole_line(racks, Pace()), "syncing racks, 3 of 5 racks, 1 failed")
        away = {"name": "rack-7", "state": "unknown", "fetched_bytes": None, "total_bytes": None}
        self.assertEqual(part_line(away, Pace()).split(), ["rack-7", "unknown"])

    def test_names_steer_no_terminal(self) -> None:
        """What a rack or a source is called is shown, not obeyed."""
        part = {"name": "\x1b[2J", "state": "\x1b[2J"}
        self.assertNotIn("\x1b", part_line(part, Pace()))
        self.assertNotIn("\x1b", whole_line({"phase": "\x1b[2J", "object": "\r"}, Pace()))


class LogTests(ProgressCase):
    def test_a_line_now_and_then(self) -> None:
        """When the phase changes, and every so often; with no escape sequence in it."""
        lines = self.lines()
        for second in range(25):
            self.now = float(second)
            lines.show(importing(second * 10, 1, 2))
        lines.show({"phase": "cleaning up"})
        lines.close()
        written = self.stream.getvalue().splitlines()
        self.assertEqual(len(written), 4)
        self.assertEqual(
            written[1],
            "fetching, 3 of 12 images, 100 MiB of 400 MiB (25 %), 10 MiB/s, 30 s left",
        )
        self.assertEqual(written[-1], "cleaning up")
        self.assertNotIn("\x1b", self.stream.getvalue())
        self.assertGreater(EVERY_S, 1)

    def test_a_program_is_told_nothing(self) -> None:
        """With --json stderr holds the error object, if anything."""
        lines = self.lines(is_wanted=False)
        lines.show(importing(1))
        lines.close()
        self.assertEqual(self.stream.getvalue(), "")


class TerminalTests(ProgressCase):
    """What a real terminal would show."""

    def screen(self) -> list[str]:
        columns, height = self.size
        screen = pyte.Screen(columns, height)
        pyte.Stream(screen).feed(self.stream.getvalue().replace("\n", "\r\n"))
        return [line.rstrip() for line in screen.display if line.strip()]

    def test_redrawn_in_place(self) -> None:
        """The whole and its parts, at their newest, however many there were before."""
        lines = self.lines(is_terminal=True)
        for second, parts in enumerate(((10, 20, 30), (20, 30), (30, 40, 50, 60))):
            self.now = float(second)
            lines.show(importing(100 + 10 * second, *parts))
        shown = self.screen()
        self.assertEqual(
            shown[0],
            "fetching, 3 of 12 images, 120 MiB of 400 MiB (30 %), 10 MiB/s, 28 s left"[:79],
        )
        self.assertEqual(
            shown[1],
            "  ubuntu/noble 0                20260101, 30 MiB of 100 MiB (30 %), 10 MiB/s, 7 s left"[
                :79
            ],
        )
        self.assertEqual(len(shown), 5)
        lines.close()
        self.assertEqual(self.screen(), [])

    def test_no_more_than_the_screen(self) -> None:
        """With 40 parts on a small screen nothing scrolls; the rest is counted."""
        self.size = (80, 8)
        lines = self.lines(is_terminal=True)
        for _ in range(3):
            lines.show(importing(1, *range(1, 41)))
        shown = self.screen()
        self.assertEqual(len(shown), 6)
        self.assertEqual(shown[-1], "  ... and 36 more")
        lines.close()
        self.assertEqual(self.screen(), [])

    @settings(max_examples=30)
    @given(
        st.lists(st.lists(st.integers(0, 100), max_size=30), min_size=1, max_size=8),
        st.integers(20, 120),
        st.integers(4, 40),
    )
    def test_whatever_comes_is_gone_at_the_end(
        self, steps: list[list[int]], columns: int, height: int
    ) -> None:
        """Any number of parts, on any screen: never a line too many, and none is left."""
        self.setUp()
        self.size = (columns, height)
        lines = self.lines(is_terminal=True)
        self.stream.write("before\n")
        for parts in steps:
            lines.show(importing(1, *parts))
            self.assertEqual(self.screen()[0], "before")
        lines.close()
        self.assertEqual(self.screen(), ["before"])
