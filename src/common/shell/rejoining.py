"""Waiting for work over a restart of the daemon that does it.

The work goes on where it was when the daemon is back, and asking again joins it. So a
question with ``wait`` outlives its daemon, if that comes back soon.
"""

from collections.abc import Callable
from typing import Any

from common.errors import NoDaemon
from common.shell.line import LOST, Tell
from common.vocabulary import Question

PATIENCE_S = 60.0
"""How long a daemon may be away: a restart, with a look at a big database."""
_PAUSE_S = 0.5

AskOnce = Callable[[str, Question, Tell], Any]


def ask_and_rejoin(
    ask: AskOnce,
    socket_path: str,
    question: Question,
    tell: Tell,
    *,
    wait: Callable[[float], None],
    now: Callable[[], float],
) -> Any:
    """Ask a daemon, as ``line.ask`` does, and once more when it is back.

    Args:
        ask: asks once.
        socket_path: the daemon's admin socket.
        question: what to ask.
        tell: called with what the daemon says meanwhile, and with that it is away.
        wait: sleeps for so many seconds.
        now: seconds of a clock that only goes forward.

    Raises:
        NoDaemon: nobody was there at first, or the daemon was away for too long.
        RackferryError: what the daemon says.
    """
    try:
        return ask(socket_path, question, tell)
    except NoDaemon as error:
        if error.code != LOST or "wait" not in question.flags:
            raise
    lost_at = now()
    while True:
        tell({"phase": "the daemon went away; waiting for it"})
        wait(_PAUSE_S)
        try:
            return ask(socket_path, question, tell)
        except NoDaemon as error:
            if error.code == LOST:
                lost_at = now()
            elif now() - lost_at > PATIENCE_S:
                raise
