"""Saying how far something is, for as long as somebody waits for it."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from common.errors import RackferryError

T = TypeVar("T")

_log = Logger()


async def meanwhile(
    work: Awaitable[T],
    say: Callable[[], Coroutine[Any, Any, None]],
    every_s: float,
    clock: IReactorTime,
) -> T:
    """The result of ``work``; until then ``say`` is called again and again.

    What ``say`` expects to fail is logged, and costs nobody the result.
    """

    async def say_once() -> None:
        try:
            await say()
        except RackferryError as error:
            _log.debug("not said how far it is: {line}", line=error.line())

    saying = LoopingCall(lambda: Deferred.fromCoroutine(say_once()))
    saying.clock = clock
    said = saying.start(every_s)
    try:
        return await work
    finally:
        if saying.running:
            saying.stop()
        await said
