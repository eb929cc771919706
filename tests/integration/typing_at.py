"""A real terminal with a program in it: what is typed, and what the screen shows."""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence

import pexpect
import pyte

from tests.integration.closing import Closing

LIMIT_S = 90.0
_PIECE = 4096
_LOOK_S = 0.05
_TAB_LIMIT_S = 2.0


class Terminal(Closing):
    """A program in a terminal of its own, drawn as a terminal draws it.

    Args:
        argv: the program and its words.
        env: its environment.
        columns, rows: the size of the terminal.

    Attributes:
        raw: all that the program wrote.
    """

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str], columns: int = 80, rows: int = 24
    ) -> None:
        self.raw = ""
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self.screen)
        self._child = pexpect.spawn(
            argv[0],
            list(argv[1:]),
            env={"TERM": "xterm-256color", **env},
            dimensions=(rows, columns),
            encoding="utf-8",
            echo=True,
        )
        self._child.delaybeforesend = None
        # A program may ask where the cursor is.
        self.screen.write_process_input = self._child.send

    @property
    def lines(self) -> list[str]:
        """What the screen shows, without the spaces at the ends and the empty rows below."""
        lines = [line.rstrip() for line in self.screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def line(self) -> str:
        """The row of the cursor, up to it."""
        return self.screen.display[self.screen.cursor.y][: self.screen.cursor.x]

    def press(self, text: str) -> None:
        """Press keys, as what they send: a tab, a carriage return, 0x03 for Ctrl-C."""
        self._child.send(text)

    def resize(self, columns: int, rows: int) -> None:
        """Another size, as when a window is dragged."""
        self.screen.resize(rows, columns)
        self._child.setwinsize(rows, columns)
        self._child.kill(signal.SIGWINCH)

    def until(self, happened: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
        """Go on drawing until something is to be seen.

        Raises:
            AssertionError: it was not, with what was.
        """
        end_s = time.monotonic() + limit_s
        while not happened():
            if time.monotonic() > end_s:
                shown = "\n".join(self.lines)
                raise AssertionError(f"waited in vain for {what}; the screen:\n{shown}")
            self._read()

    def sees(self, text: str) -> None:
        """Wait until the screen shows a text."""
        self.until(lambda: text in "\n".join(self.lines), repr(text))

    def stands(self, text: str) -> None:
        """Wait until the cursor stands behind this, which begins its row."""
        self.until(lambda: self.line == text, f"the cursor behind {text!r}")

    def completes(self, line: str) -> None:
        """Press Tab until the cursor stands behind this: who waits for a daemon does so, too."""

        def pressed() -> bool:
            if self.line == line:
                return True
            self.press("\t")
            try:
                self.until(lambda: self.line == line, line, _TAB_LIMIT_S)
            except AssertionError:
                return False
            return True

        self.until(pressed, f"Tab to complete {line!r}")

    def ends(self) -> int:
        """Wait for the end of the program; its exit code."""
        self.until(lambda: not self._child.isalive() and not self._read(), "its end")
        return int(self._child.exitstatus if self._child.exitstatus is not None else -1)

    def _read(self) -> bool:
        """Draw what was written; whether that was anything."""
        try:
            text = self._child.read_nonblocking(_PIECE, _LOOK_S)
        except (pexpect.TIMEOUT, pexpect.EOF):
            return False
        self.raw += text
        self._stream.feed(text)
        return True

    def last_words(self) -> str:
        """The screen."""
        return "the screen:\n" + "\n".join(self.lines)

    def close(self) -> None:
        """End the program."""
        self._child.close(force=True)


def terminal_environment(home: str, socket_path: str, **more: str) -> dict[str, str]:
    """The environment of somebody who sits at a terminal."""
    kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH", "LANG") if key in os.environ}
    fixed = {"HOME": home, "LC_ALL": "C.UTF-8", "RACKFERRY_SOCKET": socket_path}
    return {**kept, **fixed, **more}
