"""So many at once, where how many may change at any moment."""

from collections import deque
from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred


class Slots:
    """Lets work in, in order.

    Args:
        limit: how many may be at work now, at least 1; asked whenever one begins or ends.
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._working = 0
        self._waiting: deque[Deferred[None]] = deque()

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work`` as soon as there is a slot for it; cancelled before, it never begins."""
        turn: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(turn)
        self._let_in()
        await turn
        try:
            await work()
        finally:
            self._working -= 1
            self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._working < self._limit():
            self._working += 1
            self._waiting.popleft().callback(None)
