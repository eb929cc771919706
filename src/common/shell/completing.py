"""``rackferry complete -- WORD...``: what the completion of bash and zsh asks.

It must be there before whoever types notices, whatever the daemon does, and never fail.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from common.shell.completion import World, complete
from common.shell.grammar import which_socket
from common.shell.line import ask
from common.shell.paths import paths
from common.shell.recent import RecentAnswers

_PATIENCE_S = 0.1
_SILENCE_S = 10.0


def world(environ: Mapping[str, str], patience_s: float) -> tuple[World, Callable[[], None]]:
    """What completion asks of the world, and what makes it forget the daemon's answers."""
    recent = RecentAnswers(
        lambda path, question: ask(which_socket(path, environ), question, timeout_s=_SILENCE_S),
        time.monotonic,
        patience_s,
    )
    return World(recent.rows, paths), recent.forget


def print_candidates(words: Sequence[str], environ: Mapping[str, str], out: TextIO) -> int:
    """A line for each candidate: what to type, a tab, what it is; the exit code is 0."""
    *before, word = words[1:] or [""]
    for each in complete(before, word, world(environ, _PATIENCE_S)[0]):
        meaning = each.help if each.help.isprintable() else ""
        out.write(f"{each.text}\t{meaning}\n")
    out.flush()
    return 0
