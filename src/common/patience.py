"""Waiting for as long as somebody wants to, and no longer."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime

from common.durations import human_duration
from common.errors import TimedOut

T = TypeVar("T")


async def in_time(
    work: Coroutine[Any, Any, T],
    timeout_s: float | None,
    clock: IReactorTime,
    *,
    what: str,
    missing: Callable[[], str],
    remedy: str,
) -> T:
    """The result of ``work``.

    Args:
        work: is cancelled when time is up.
        timeout_s: None waits for ever.
        clock: for the time.
        what: what was asked, for the message.
        missing: what is still waited for, when time is up; "" if nobody knows.
        remedy: what to do then.

    Raises:
        TimedOut: time is up.
    """
    doing = Deferred.fromCoroutine(work)
    if timeout_s is None:
        return await doing
    doing.addTimeout(timeout_s, clock)
    try:
        return await doing
    except DeferredTimeout:
        still = missing()
        raise TimedOut(
            f"not done within {human_duration(timeout_s)}" + (f": {still}" if still else ""),
            object=what,
            remedy=remedy,
        ) from None
