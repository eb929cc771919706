"""What a daemon has just answered, for completion: asked in a thread, kept for seconds.

A daemon that is slow costs whoever types no more than a moment: its answer is there for the
next time. One that is dead costs nothing: there is nothing to be completed.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from common.errors import RackferryError
from common.shell.live_values import Row
from common.vocabulary import Question

KEEP_S = 10.0

Ask = Callable[[str, Question], Any]
_Key = tuple[str, str, str, tuple[str, ...], tuple[str, ...]]


@attrs.define
class _Asked:
    at_s: float
    is_answered: threading.Event = attrs.field(factory=threading.Event)
    rows: Sequence[Row] = ()


class RecentAnswers:
    """Answers to questions whose answer is a list.

    Args:
        ask: (socket path, question) -> the daemon's answer, or a RackferryError.
        now_s: a clock that only goes forward.
        patience_s: how long to wait for an answer.
    """

    def __init__(self, ask: Ask, now_s: Callable[[], float], patience_s: float) -> None:
        self._ask = ask
        self._now_s = now_s
        self._patience_s = patience_s
        self._asked: dict[_Key, _Asked] = {}

    def rows(self, socket_path: str, question: Question) -> Sequence[Row]:
        """The rows, at most some seconds old; none if there is no answer in time."""
        key = (socket_path, question.noun, question.verb, question.ids, question.flags)
        asked = self._asked.get(key)
        if asked is None or self._now_s() - asked.at_s > KEEP_S:
            asked = self._asked[key] = _Asked(self._now_s())
            ask = threading.Thread(
                target=self._fetch, args=(asked, socket_path, question), daemon=True
            )
            ask.start()
        asked.is_answered.wait(self._patience_s)
        return asked.rows

    def forget(self) -> None:
        """Ask anew: something was changed."""
        self._asked.clear()

    def _fetch(self, asked: _Asked, socket_path: str, question: Question) -> None:
        try:
            answer = self._ask(socket_path, question)
        except RackferryError:
            answer = []
        asked.rows = answer if isinstance(answer, list) else []
        asked.is_answered.set()
