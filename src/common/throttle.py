"""Holds many transfers together to one limit, each group of them with an equal share.

``Throttle`` shares out what its bucket has; ``PacedBody`` holds back what arrives (fetching),
``Throttle.allowed`` lets a sender wait (serving).
"""

from collections import deque
from collections.abc import Callable, Hashable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from common.bucket import Bucket
from common.errors import RackferryError
from common.inflow import Receiver

TICK_S = 0.05
PAUSED_TICK_S = 1.0
"""How often it is asked whether a limit of 0 still holds."""

KEPT_BYTES = 1 << 16
"""A body is paused when more is held, so that it always has something to give for its share."""


class BodyFlow(Protocol):
    """The body that is held back, as ``common.fetching.Body`` has it."""

    def deliver(self, receiver: Receiver) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def abort(self) -> None: ...


class Claim(Protocol):
    """One that waits for its share.

    Attributes:
        wanted_bytes: how much it could use now, more than 0.
    """

    @property
    def wanted_bytes(self) -> int: ...

    def grant(self, size_bytes: int) -> None:
        """Use so many of them; if any are left, it waits on unless it withdraws."""


class Throttle:
    """See the module.

    Args:
        limit: what holds at the moment it is called, in bytes per second: None for no
            limit, 0 for nothing at all.
        clock: for the time that passes.
    """

    def __init__(self, limit: Callable[[], int | None], clock: IReactorTime) -> None:
        self._limit = limit
        self._clock = clock
        self._bucket = Bucket(clock.seconds())
        self._groups: dict[Hashable, deque[Claim]] = {}
        self._timer: IDelayedCall | None = None

    @property
    def is_blocked(self) -> bool:
        """Whether somebody waits and nothing may move at all."""
        return bool(self._groups) and self._limit() == 0

    def take(self, most_bytes: int) -> int:
        """How many of these bytes may move at once; 0 as long as others wait."""
        if self._groups:
            return 0
        free = self._free_bytes()
        taken = most_bytes if free is None else min(most_bytes, free)
        if free is not None:
            self._bucket.take(taken)
        return taken

    def enter(self, claim: Claim, group: Hashable) -> None:
        """Wait for a share, as one of a group: it is the groups that have equal shares."""
        self._groups.setdefault(group, deque()).append(claim)
        if self._timer is None:
            self._timer = self._clock.callLater(TICK_S, self._tick)

    def withdraw(self, claim: Claim, group: Hashable) -> None:
        """Wait no longer; nothing happens if it did not wait."""
        claims = self._groups.get(group, deque())
        if claim in claims:
            claims.remove(claim)
        if not claims:
            self._groups.pop(group, None)
        if not self._groups and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def allowed(self, most_bytes: int, group: Hashable) -> int:
        """Wait until some of these bytes may move; returns how many, at least 1."""
        taken = self.take(most_bytes)
        if taken:
            return taken
        turn = _Turn(self, most_bytes, group)
        self.enter(turn, group)
        return await turn.granted

    async def allowed_within(self, most_wait_s: float, most_bytes: int, group: Hashable) -> int:
        """Wait until all these bytes may move, or so long; returns how many, perhaps none."""
        granted = self.take(most_bytes)
        until_s = self._clock.seconds() + most_wait_s
        while granted < most_bytes and (left_s := until_s - self._clock.seconds()) > 0:
            waiting = Deferred.fromCoroutine(self.allowed(most_bytes - granted, group))
            waiting.addTimeout(left_s, self._clock, onTimeoutCancel=lambda _, __: 0)
            granted += await waiting
        return granted

    def _free_bytes(self) -> int | None:
        """What may move now; None for any number."""
        limit = self._limit()
        free = self._bucket.fill(self._clock.seconds(), limit or 0)
        return None if limit is None else free

    def _tick(self) -> None:
        self._timer = None
        # Those that come back for more while this runs must find that others wait.
        free = self._free_bytes()
        while self._groups and (free is None or free >= len(self._groups)):
            share = None if free is None else free // len(self._groups)
            for group in list(self._groups):
                self._serve(group, share)
            free = self._free_bytes()
        if self._groups and self._timer is None:
            wait_s = PAUSED_TICK_S if self._limit() == 0 else TICK_S
            self._timer = self._clock.callLater(wait_s, self._tick)

    def _serve(self, group: Hashable, share: int | None) -> None:
        """Give a group its share: to its first, which then goes last."""
        claims = self._groups.get(group)
        if not claims:
            return
        claim = claims[0]
        size_bytes = claim.wanted_bytes if share is None else min(share, claim.wanted_bytes)
        claims.rotate(-1)
        if share is not None:
            self._bucket.take(size_bytes)
        claim.grant(size_bytes)


class _Turn:
    """A sender that waits."""

    def __init__(self, throttle: Throttle, wanted_bytes: int, group: Hashable) -> None:
        self.wanted_bytes = wanted_bytes
        self._leave = lambda: throttle.withdraw(self, group)
        self.granted: Deferred[int] = Deferred(lambda _: self._leave())

    def grant(self, size_bytes: int) -> None:
        self._leave()
        self.granted.callback(size_bytes)


class PacedBody:
    """A body whose bytes are handed on no faster than a throttle lets them.

    What arrives too early is kept, and the body is paused meanwhile: little more than one
    read of its connection is in memory.

    Args:
        body: whose bytes they are.
        throttle: says when.
    """

    def __init__(self, body: BodyFlow, throttle: Throttle) -> None:
        self._body = body
        self._throttle = throttle
        self._receiver: Receiver | None = None
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._is_paused = False
        self._is_body_paused = False
        self._end: tuple[RackferryError | None] | None = None
        self._was_held = False

    def was_held(self) -> bool:
        """Whether bytes were held back at any time since this was last asked."""
        was, self._was_held = self._was_held, bool(self._held)
        return was

    # As a body

    def deliver(self, receiver: Receiver) -> None:
        """Let the bytes flow into ``receiver``."""
        self._receiver = receiver
        self._body.deliver(self)

    def pause(self) -> None:
        """The receiver wants no more for now."""
        self._is_paused = True
        self._steer()

    def resume(self) -> None:
        """The receiver wants more."""
        self._is_paused = False
        self._steer()

    def abort(self) -> None:
        """Drop the body and what is held of it."""
        self._receiver = None
        self._held.clear()
        self._held_bytes = 0
        self._throttle.withdraw(self, self)
        self._body.abort()

    # As the receiver of the body

    def received(self, piece: bytes) -> None:
        """The body brought this: hand on what may move, hold the rest."""
        if self._receiver is None:
            return
        now = 0 if self._held or self._is_paused else self._throttle.take(len(piece))
        if now < len(piece):
            self._held.append(piece[now:])
            self._held_bytes += len(piece) - now
            self._was_held = True
        if now:
            self._receiver.received(piece[:now])
        self._steer()

    def ended(self, error: RackferryError | None) -> None:
        """The body is over; the receiver is told after the last held byte."""
        self._end = (error,)
        self._tell_end()

    # As a claim

    @property
    def wanted_bytes(self) -> int:
        """What is held."""
        return self._held_bytes

    def grant(self, size_bytes: int) -> None:
        """Hand on so many of the held bytes."""
        self._held_bytes -= size_bytes
        while size_bytes and self._receiver is not None:
            piece = self._held.popleft()
            if len(piece) > size_bytes:
                self._held.appendleft(piece[size_bytes:])
                piece = piece[:size_bytes]
            size_bytes -= len(piece)
            self._receiver.received(piece)
        self._steer()
        self._tell_end()

    def _tell_end(self) -> None:
        if self._end is not None and not self._held and self._receiver is not None:
            receiver, self._receiver = self._receiver, None
            receiver.ended(*self._end)

    def _steer(self) -> None:
        """Wait for a share if there is use for one; pause or resume the body."""
        self._throttle.withdraw(self, self)
        if self._held and not self._is_paused and self._receiver is not None:
            self._throttle.enter(self, self)
        is_to_pause = self._is_paused or self._held_bytes > KEPT_BYTES
        if is_to_pause != self._is_body_paused and self._end is None and self._receiver is not None:
            self._is_body_paused = is_to_pause
            (self._body.pause if is_to_pause else self._body.resume)()
