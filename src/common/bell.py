"""A bell: how triggers wake a loop, without any being lost or counted twice."""

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime


class Bell:
    """Something to wait for. Rung while nobody waits, it is heard by the next who does."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._rung = False
        self._waiting: Deferred[None] | None = None

    def ring(self) -> None:
        """Wake who waits."""
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            self._rung = True
        else:
            waiting.callback(None)

    def silence(self) -> None:
        """Forget a ring that nobody has heard."""
        self._rung = False

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Return when it rings, or after ``timeout_s``; whether it rang."""
        if not self._rung:
            waiting = self._waiting = Deferred()
            if timeout_s is not None:
                waiting.addTimeout(timeout_s, self._clock)
            try:
                await waiting
            except DeferredTimeout:
                return False
            finally:
                if self._waiting is waiting:
                    self._waiting = None
        self._rung = False
        return True
