"""Threads for work that blocks: a bounded pool for each kind, so that none waits for another."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

T = TypeVar("T")


class Threads(Protocol):
    """Runs a function on one of a bounded number of threads."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """The result of ``work()``."""


class _OnPool:
    """The threads of one pool. Cancelling abandons the answer, never the work."""

    def __init__(self, reactor: Any, pool: ThreadPool) -> None:
        self._reactor = reactor
        self._pool = pool

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]:
        return deferToThreadPool(self._reactor, self._pool, work)


class Pools:
    """The threads of a daemon.

    Args:
        reactor: where answers are delivered.
        daemon: its name, which its threads bear.
        most: how many threads at most, by the kind of their work.
    """

    def __init__(self, reactor: Any, daemon: str, most: Mapping[str, int]) -> None:
        self._reactor = reactor
        self._pools = {
            kind: ThreadPool(0, count, name=f"{daemon}-{kind}") for kind, count in most.items()
        }

    def __getitem__(self, kind: str) -> _OnPool:
        """Those for one kind of work, which waits until ``start``."""
        return _OnPool(self._reactor, self._pools[kind])

    def start(self) -> None:
        """Begin to work."""
        for pool in self._pools.values():
            pool.start()

    def stop(self) -> None:
        """Let running work end; blocks until it has."""
        for pool in self._pools.values():
            pool.stop()


def shared(reactor: Any) -> Threads:
    """The reactor's own threads, for what may hang for long and must hold up nothing of ours."""
    return _OnPool(reactor, reactor.getThreadPool())
