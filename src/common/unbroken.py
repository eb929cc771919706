"""Waiting for what cannot be stopped: a thread at work on something that others want next."""

from collections.abc import Awaitable
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred

T = TypeVar("T")


async def unbroken(work: Awaitable[T]) -> T:
    """Wait for ``work`` to end, however often the wait is cancelled.

    Raises:
        CancelledError: it was, and the work has ended; how does not matter any more.
    """

    async def started() -> T:
        return await work

    flying = Deferred.fromCoroutine(started())
    is_cancelled = False
    while True:
        # Waiting on another Deferred shields the work from our own cancellation; the first
        # one takes the result, so that a cancelled one takes it away.
        over: Deferred[T] = Deferred()
        flying.addBoth(over.callback)
        try:
            result = await over
        except CancelledError:
            is_cancelled = True
            continue
        if is_cancelled:
            raise CancelledError
        return result
