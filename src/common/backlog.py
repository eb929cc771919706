"""What one slow reader has still to read: bounded, and it wakes who waits for more."""

from collections import deque
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

MOST_WAITING = 1000

T = TypeVar("T")


class Backlog(Generic[T]):
    """A queue for one reader.

    Args:
        most: how much may wait; of more, the oldest is dropped and counted.
    """

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._waiting: deque[T] = deque(maxlen=most)
        self._missed = 0
        self._bell: Deferred[None] | None = None

    def add(self, item: T) -> None:
        """One more to read."""
        self._missed += len(self._waiting) == self._waiting.maxlen
        self._waiting.append(item)
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.callback(None)

    async def take(self) -> tuple[list[T], int]:
        """Wait until there is something; all of it, oldest first, and how many were dropped."""
        while not self._waiting:
            bell = self._bell = Deferred()
            try:
                await bell
            finally:
                self._bell = None
        taken, missed = list(self._waiting), self._missed
        self._waiting.clear()
        self._missed = 0
        return taken, missed
