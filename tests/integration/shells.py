"""The real ``rackferry`` command, asked from outside."""

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from tests.integration.processes import environment


class ShellFailed(AssertionError):
    """``rackferry`` did not exit 0.

    Attributes:
        exit_code: as in design section 9 (1 refused, 2 usage, 3 no daemon, 4 timed out).
        error: the error object of ``--json``, empty when stderr held none.
    """

    def __init__(self, words: Sequence[str], exit_code: int, stderr: str) -> None:
        super().__init__(f"rackferry {shlex.join(words)}: exit {exit_code}: {stderr.strip()}")
        self.words = tuple(words)
        self.exit_code = exit_code
        self.stderr = stderr
        self.error: dict[str, str] = _error_object(stderr)


def _error_object(stderr: str) -> dict[str, str]:
    """The error object among the lines of stderr; progress lines may stand before it."""
    for line in reversed(stderr.splitlines()):
        try:
            return dict(json.loads(line)["error"])
        except (ValueError, KeyError, TypeError):
            continue
    return {}


def rackferry_command() -> list[str]:
    """The installed ``rackferry`` beside this Python, or the same from the work tree."""
    installed = Path(sys.executable).with_name("rackferry")
    if installed.exists():
        return [str(installed)]
    return [sys.executable, "-c", "import sys, common.shell.main as it; sys.exit(it.main())"]


def run_shell(
    words: Sequence[str],
    *,
    socket_path: Path | None = None,
    limit_s: float = 300.0,
    as_json: bool = True,
    stderr: IO[str] | None = None,
) -> str:
    """Run the real ``rackferry`` command.

    Args:
        words: noun, verb, ids, parameters and flags.
        socket_path: which daemon; none for the local words.
        limit_s: kill it after so long.
        as_json: add ``--json``.
        stderr: where progress lines go; kept for the error message if not given.

    Returns:
        What it wrote to stdout.

    Raises:
        ShellFailed: its exit code was not 0.
    """
    options = ["--socket", str(socket_path)] if socket_path else []
    argv = [*rackferry_command(), *options]
    argv += ["--json", *words] if as_json else list(words)
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr or subprocess.PIPE,
        env=environment(),
        text=True,
        timeout=limit_s,
        check=False,
    )
    if done.returncode != 0:
        raise ShellFailed(words, done.returncode, done.stderr or "")
    return done.stdout


def parsed(stdout: str) -> Any:
    """What ``--json`` printed, as values; None for nothing."""
    return json.loads(stdout) if stdout.strip() else None
