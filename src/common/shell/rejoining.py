"""Waiting for work over a restart of the daemon that does it.

The work goes on where it was when the daemon is back, and asking again joins it. So whoever
waits outlives the daemon, if that comes back soon.
"""

from collections.abc import Callable
from typing import Any

import attrs

from common.errors import NoDaemon
from common.shell.line import LOST, Tell
from common.verbs import TIMEOUT
from common.vocabulary import Question

PATIENCE_S = 60.0
"""How long a daemon may be away if no ``timeout=`` says it: a restart takes less."""
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
    is_waiting: bool,
) -> Any:
    """Ask a daemon, as ``line.ask`` does, and once more when it is back.

    Args:
        ask: asks once.
        socket_path: the daemon's admin socket.
        question: what to ask.
        tell: called with what the daemon says meanwhile, and with that it is away.
        wait: sleeps for so many seconds.
        now: seconds of a clock that only goes forward.
        is_waiting: whether somebody waits; otherwise it is asked only once.

    Raises:
        NoDaemon: nobody was there at first, or the daemon stayed away for too long.
        RackferryError: what the daemon says.
    """
    began_at = now()
    try:
        return ask(socket_path, question, tell)
    except NoDaemon as error:
        if error.code != LOST or not is_waiting:
            raise
    time_s = question.parameters.get(TIMEOUT.name)
    gives_up_at = began_at + time_s if isinstance(time_s, int) else now() + PATIENCE_S
    while True:
        tell({"phase": "the daemon went away; waiting for it"})
        wait(_PAUSE_S)
        try:
            return ask(socket_path, _in_what_is_left(question, gives_up_at - now()), tell)
        except NoDaemon as error:
            if now() > gives_up_at:
                raise
            if error.code == LOST and time_s is None:
                gives_up_at = now() + PATIENCE_S


def _in_what_is_left(question: Question, left_s: float) -> Question:
    """The question with what is left of its own time, if it has one."""
    if TIMEOUT.name not in question.parameters:
        return question
    left = {TIMEOUT.name: max(1, int(left_s))}
    return attrs.evolve(question, parameters={**question.parameters, **left})
