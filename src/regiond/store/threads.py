"""Where blocking work runs: threads with a name, or the caller's own in tests."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

T = TypeVar("T")


class Threads(Protocol):
    """A bounded place for blocking work."""

    def start(self) -> None:
        """Be ready for work."""

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Run ``work``; cancelling abandons the answer, never the work."""

    async def stop(self) -> None:
        """Let running work end."""


class NamedThreads:
    """``count`` threads called ``name`` (as ``py-spy`` and debuggers show them)."""

    def __init__(self, reactor: IReactorFromThreads, name: str, count: int) -> None:
        self._reactor = reactor
        self._name = name
        self._count = count
        self._pool = ThreadPool()
        self._running: set[Deferred[Any]] = set()

    def start(self) -> None:
        """Be ready for work; a thread begins when there is work for it."""
        # A pool that was stopped cannot be started again.
        self._pool = ThreadPool(minthreads=0, maxthreads=self._count, name=self._name)
        self._pool.start()

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Run ``work`` on one of the threads."""
        running: Deferred[T] = deferToThreadPool(self._reactor, self._pool, work)
        self._running.add(running)
        # A caller that is cancelled gets its answer at once; the thread cannot be stopped
        # and its work still counts, so that stopping waits for it.
        answer: Deferred[T] = Deferred()

        def ended(result: Any) -> None:
            self._running.discard(running)
            answer.callback(result)  # a Failure goes to the errbacks

        running.addBoth(ended)
        return answer

    async def stop(self) -> None:
        """Let running work end, then end the threads; the reactor is not blocked."""
        await DeferredList([_echo(running) for running in self._running])
        self._pool.stop()


def _echo(source: Deferred[Any]) -> Deferred[None]:
    """Fires when ``source`` has fired, and leaves its result alone."""
    echo: Deferred[None] = Deferred()

    def fired(result: Any) -> Any:
        echo.callback(None)
        return result

    source.addBoth(fired)
    return echo


class Inline:
    """Runs work at once in the caller's thread, for tests without a reactor."""

    def start(self) -> None:
        """Nothing to start."""

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Run ``work`` now."""
        return maybeDeferred(work)

    async def stop(self) -> None:
        """Nothing runs."""
