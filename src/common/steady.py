"""A reactor whose timers do not mind that somebody sets the clock.

Twisted's timers follow ``time.time``: when a clock is set back by hours, everything that is
due waits for as long, the five-minute look of a rack among it, and set forward all is due at
once. A reactor asks its own ``seconds`` whenever it schedules, sleeps and runs (the same holds
for ``LoopingCall`` and ``Deferred.addTimeout``), so this is the one place.

``reactor.seconds()`` is no time of day after that: who wants one is given ``time_of_day``.
"""

import time
from typing import Any


def keep_steady(reactor: Any) -> None:
    """Let a reactor's timers follow the monotonic clock.

    Args:
        reactor: of which nobody has asked anything yet: what is pending was planned by the
            other clock.
    """
    reactor.seconds = time.monotonic


def time_of_day() -> float:
    """Seconds since the epoch, by a clock that somebody may set."""
    return time.time()  # noqa: TID251  (the one place)
