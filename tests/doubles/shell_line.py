"""The shell's end of the admin socket, in a thread, so that a daemon can run beside it."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from common.shell.line import ANSWER_TIMEOUT_S, Tell
from common.shell.line import ask as ask_daemon
from common.vocabulary import Question


def ask(
    socket_path: str,
    question: Question,
    tell: Tell = lambda _: None,
    *,
    timeout_s: float = ANSWER_TIMEOUT_S,
) -> "Deferred[Any]":
    """As ``common.shell.line.ask``; ``tell`` is called in the thread."""
    return deferToThread(ask_daemon, socket_path, question, tell, timeout_s=timeout_s)
