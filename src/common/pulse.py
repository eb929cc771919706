"""Whether the reactor turns: how late its timers are.

A reactor that something blocks answers nobody, and looks healthy again a moment later. So
the worst delay of the last ten seconds is remembered.
"""

from collections import deque

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from common.errors import Busy

BEAT_S = 1.0
REMEMBERED = 10
MOST_LAG_S = 5.0


class Pulse(Service):
    """Beats once a second.

    Args:
        clock: whose timers are watched.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._beating = LoopingCall(self._beat)
        self._beating.clock = clock
        self._due_s = 0.0
        self._lags: deque[float] = deque(maxlen=REMEMBERED)

    @property
    def lag_s(self) -> float:
        """The worst delay of the last ten beats."""
        return max(self._lags, default=0.0)

    def demand(self) -> None:
        """That the reactor turned all the time.

        Raises:
            Busy: it stood still for long, just now.
        """
        if self.lag_s > MOST_LAG_S:
            raise Busy(
                f"the reactor stood still for {self.lag_s:.1f} s",
                object="reactor",
                code="reactor-stuck",
                remedy="look at the load of this machine and at the log",
            )

    def startService(self) -> None:
        """Begin (called by Twisted)."""
        super().startService()
        self._due_s = self._clock.seconds()
        self._beating.start(BEAT_S)

    def stopService(self) -> None:
        """End (called by Twisted)."""
        super().stopService()
        self._beating.stop()

    def _beat(self) -> None:
        now_s = self._clock.seconds()
        self._lags.append(max(0.0, now_s - self._due_s))
        self._due_s = now_s + BEAT_S
