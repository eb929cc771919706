"""Publishes images that are ready at about the same time together.

Each publish is a durable transaction, a generation and a notice to every rack: of small
images that come by the hundred, one by one, most of an import would be that. The first is
published at once, those that follow it shortly after wait for each other.
"""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

T = TypeVar("T")

PAUSE_S = 1.0
"""The least time between two publishes, and the most that an image waits for others."""


class Publishing(Generic[T]):
    """Hands on what is ready, in batches.

    Args:
        publish: is given each batch; not called again before it has ended.
        clock: monotonic.
    """

    def __init__(self, publish: Callable[[list[T]], Awaitable[None]], clock: IReactorTime) -> None:
        self._publish = publish
        self._clock = clock
        self._ready: list[T] = []
        self._is_last = False
        self._earliest_s = clock.seconds()
        self._waiting: Deferred[None] | None = None

    def add(self, ready: T) -> None:
        """This is ready."""
        self._ready.append(ready)
        self._look_again()

    def end(self) -> None:
        """No more will come: nothing waits any longer."""
        self._is_last = True
        self._look_again()

    async def run(self) -> None:
        """Publish until the end; raises what a publish raises."""
        while not self._is_last or self._ready:
            if self._may_publish():
                batch, self._ready = self._ready, []
                await self._publish(batch)
                self._earliest_s = self._clock.seconds() + PAUSE_S
            else:
                await self._news()

    def _may_publish(self) -> bool:
        is_time = self._is_last or self._clock.seconds() >= self._earliest_s
        return bool(self._ready) and is_time

    async def _news(self) -> None:
        """Wait until there is something to look at."""
        self._waiting = Deferred()
        rest_s = max(0.0, self._earliest_s - self._clock.seconds())
        pause = self._clock.callLater(rest_s, self._look_again) if self._ready else None
        try:
            await self._waiting
        finally:
            if pause is not None and pause.active():
                pause.cancel()

    def _look_again(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
