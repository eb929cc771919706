"""One transfer as a table of states (pure): what to do after each thing that happens.

A transfer gets bytes of a known size and SHA-256 from one of several origins into a place
that keeps whole verified chunks through any interruption. This module decides; it opens no
connection, reads no clock and hashes nothing. Whoever drives it (``common.fetching``)
reports what happened by calling a method, and does the one thing that the method returns.

The states, and what leads out of each (everything else is a bug and raises)::

    NEW         begin(held)        -> Ask | Check | Forget (more is held than promised)
    ASKING      answered(head)     -> Receive | Forget (answered from 0) | as a failure
                failed(error)      -> Ask (next origin) | Wait | GiveUp
    RECEIVING   kept(bytes)        (no effect: whole chunks are verified and held)
                ended(tail)        -> Check (all held) | as a failure (cut)
                failed(error,tail) -> Ask | Wait | GiveUp
                wrong_chunk(...)   -> Ask | Wait | GiveUp (third strike)
    WAITING     waited()           -> Ask
    FORGETTING  forgotten()        -> Ask | Receive
    CHECKING    named(sha256)      -> Finish | Forget (once) | GiveUp
    OVER        (Finish or GiveUp was returned; nothing more happens)

Why it always ends when ``max_attempts`` is set: attempts are counted since the last time
that more bytes were here than ever before, so a peer that lets us start over for ever does
not count as progress.
"""

from collections.abc import Sequence
from enum import StrEnum

import attrs

from common.digests import CHUNK_BYTES, is_digest_list_of
from common.errors import IntegrityError, RackferryError, TransferError
from common.ranges import is_exact_content_range

MOST_STRIKES = 3
RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


@attrs.frozen
class Goal:
    """The bytes to get.

    Attributes:
        sha256: their name, lower-case hexadecimal.
        size_bytes: how many they are.
        digests: their running digest list (``common.digests``); a rack knows it
            beforehand, a region learns it from the transfer (None).
        object: what people call them ("ubuntu/jammy/amd64 boot-kernel"), for messages.
    """

    sha256: str
    size_bytes: int
    digests: bytes | None
    object: str


@attrs.frozen
class Head:
    """What an origin's answer says before its bytes; lengths are None where absent."""

    status: int
    content_range: str | None = None
    content_length: int | None = None


@attrs.frozen
class Ask:
    """Ask origin number ``origin`` for the bytes from ``offset`` on."""

    origin: int
    offset: int


@attrs.frozen
class Receive:
    """Take the body: exactly ``length_bytes`` are expected."""

    length_bytes: int


@attrs.frozen
class Forget:
    """Throw away all that is held, then say ``forgotten``."""


@attrs.frozen
class Wait:
    """Back off after ``round`` rounds in a row (from 1) in which every origin failed."""

    round: int


@attrs.frozen
class Check:
    """Everything is held: say ``named`` with its SHA-256."""


@attrs.frozen
class Finish:
    """The bytes are the promised ones: make them durable under their name."""


@attrs.frozen
class GiveUp:
    """Stop; raise the error. What is held stays."""

    error: RackferryError


Effect = Ask | Receive | Forget | Wait | Check | Finish | GiveUp


class State(StrEnum):
    """Where a transfer stands; the module's table says what leads out."""

    NEW = "new"
    ASKING = "asking"
    RECEIVING = "receiving"
    WAITING = "waiting"
    FORGETTING = "forgetting"
    CHECKING = "checking"
    OVER = "over"


_AFTER: dict[type[Effect], State] = {
    Ask: State.ASKING,
    Receive: State.RECEIVING,
    Forget: State.FORGETTING,
    Wait: State.WAITING,
    Check: State.CHECKING,
    Finish: State.OVER,
    GiveUp: State.OVER,
}


class Transfer:
    """The rules of one transfer.

    Args:
        goal: the bytes to get.
        origins: the origins' names, for messages; at least one.
        max_attempts: give up after so many failures without progress; None: never.

    Attributes:
        held_bytes: whole chunks that are verified.
        wasted_bytes: what was held or came, and was thrown away.
    """

    def __init__(
        self, goal: Goal, origins: Sequence[str], *, max_attempts: int | None = None
    ) -> None:
        self.goal = goal
        self.state = State.NEW
        self.held_bytes = 0
        self.wasted_bytes = 0
        self._tail_bytes = 0  # an unfinished chunk, in memory only
        self._most_bytes = -1  # the most that was ever here: more than that is progress
        self._names = tuple(origins)
        self._origin = 0
        self._usable = set(range(len(self._names)))
        self._max_attempts = max_attempts
        self._attempts = 0
        self._rounds = 0
        self._strikes = 0
        self._start_over_left = {"range": 1, "digest": 1}
        self._after_forgetting: Effect = Ask(0, 0)

    @property
    def offset(self) -> int:
        """The first byte that is not here."""
        return self.held_bytes + self._tail_bytes

    def begin(self, held_bytes: int) -> Effect:
        """The place holds ``held_bytes`` verified bytes already."""
        self._leave(State.NEW)
        goal = self.goal
        if goal.digests is not None and not is_digest_list_of(
            goal.digests, goal.sha256, goal.size_bytes
        ):
            return self._give_up(
                IntegrityError(
                    f"its digest list does not belong to SHA-256 {goal.sha256} and"
                    f" {goal.size_bytes} bytes",
                    object=goal.object,
                    code="integrity-digest-list",
                    remedy="the region's record of it is damaged: start a scrub there",
                )
            )
        if held_bytes > goal.size_bytes:
            return self._forget(Ask(self._origin, 0))
        self.held_bytes = held_bytes
        if held_bytes == goal.size_bytes:
            return self._go(Check())
        if held_bytes % CHUNK_BYTES:
            return self._forget(Ask(self._origin, 0))
        self._count_progress()
        return self._ask()

    def answered(self, head: Head) -> Effect:
        """The origin answered; its bytes were not taken yet."""
        self._leave(State.ASKING)
        name, offset, size = self._names[self._origin], self.offset, self.goal.size_bytes
        if head.status == 416 and offset and self._may_start_over("range"):
            return self._forget(Ask(self._origin, 0))
        if head.status not in {200, 206}:
            return self._fail(
                self._error(f"http-{head.status}", f"{name} answered {head.status}"),
                final=head.status not in RETRIED_STATUSES,
            )
        first = offset if head.status == 206 else 0
        if head.status == 206 and not is_exact_content_range(head.content_range, offset, size):
            return self._fail(
                self._error(
                    "range",
                    f"{name} was asked for bytes {offset}-{size - 1}/{size} and answered"
                    f" {head.content_range or 'without a Content-Range'}",
                )
            )
        if head.content_length not in {None, size - first}:
            return self._fail(
                self._error(
                    "length",
                    f"{name} offers {head.content_length} bytes where {size - first} are missing",
                )
            )
        receive = Receive(size - first)
        return self._go(receive) if first == offset else self._forget(receive)

    def kept(self, size_bytes: int) -> None:
        """``size_bytes`` more, in whole chunks, were verified; they will be held."""
        self._leave(State.RECEIVING)
        self.held_bytes += size_bytes
        self._tail_bytes = 0
        self._strikes = 0
        self._count_progress()

    def ended(self, tail_bytes: int = 0) -> Effect:
        """The body came to its proper end; ``tail_bytes`` of an unfinished chunk are left."""
        if self.held_bytes == self.goal.size_bytes:
            self._leave(State.RECEIVING)
            return self._go(Check())
        missing = self.goal.size_bytes - self.held_bytes - tail_bytes
        name = self._names[self._origin]
        return self.failed(
            self._error("cut", f"{name} ended {missing} bytes too early"), tail_bytes
        )

    def failed(self, error: RackferryError, tail_bytes: int = 0) -> Effect:
        """No answer, or its body broke off with ``tail_bytes`` of an unfinished chunk kept.

        A ``TransferError`` is tried again; any other family rules the origin out.
        """
        self._leave(State.ASKING, State.RECEIVING)
        if self.state is State.RECEIVING:
            self._tail_bytes = tail_bytes
            self._count_progress()
        return self._fail(error, final=not isinstance(error, TransferError))

    def wrong_chunk(self, found: bytes, promised: bytes) -> Effect:
        """The chunk after ``held_bytes`` has another running digest than promised."""
        self._leave(State.RECEIVING)
        self.wasted_bytes += min(CHUNK_BYTES, self.goal.size_bytes - self.held_bytes)
        self._tail_bytes = 0
        self._strikes += 1
        name, seq = self._names[self._origin], self.held_bytes // CHUNK_BYTES
        error = IntegrityError(
            f"chunk {seq} from {name} is not the promised one: running SHA-256"
            f" {found.hex()} instead of {promised.hex()}",
            object=self.goal.object,
            code="integrity-chunk",
            remedy="the bytes are damaged at their origin or on the way: check both",
        )
        if self._strikes >= MOST_STRIKES:
            return self._give_up(error)
        return self._fail(error)

    def waited(self) -> Effect:
        """The back-off is over."""
        self._leave(State.WAITING)
        return self._ask()

    def forgotten(self) -> Effect:
        """Nothing is held any more."""
        self._leave(State.FORGETTING)
        return self._go(self._after_forgetting)

    def named(self, sha256: str) -> Effect:
        """All bytes are held, and this is their SHA-256."""
        self._leave(State.CHECKING)
        if sha256 == self.goal.sha256:
            return self._go(Finish())
        if self._may_start_over("digest"):
            return self._forget(Ask(self._origin, 0))
        return self._give_up(
            IntegrityError(
                f"{self._names[self._origin]} has other bytes than promised: SHA-256"
                f" {sha256} instead of {self.goal.sha256}",
                object=self.goal.object,
                code="integrity-sha256",
                remedy="the origin's file and what was signed differ: tell who runs it",
            )
        )

    def _leave(self, *states: State) -> None:
        if self.state not in states:
            raise RuntimeError(f"a transfer that is {self.state} was told otherwise")

    def _go(self, effect: Effect) -> Effect:
        self.state = _AFTER[type(effect)]
        return effect

    def _ask(self) -> Effect:
        return self._go(Ask(self._origin, self.offset))

    def _forget(self, then: Effect) -> Effect:
        self.wasted_bytes += self.offset
        self.held_bytes = self._tail_bytes = self._strikes = 0
        self._after_forgetting = then
        return self._go(Forget())

    def _may_start_over(self, why: str) -> bool:
        self._start_over_left[why] -= 1
        return self._start_over_left[why] >= 0

    def _count_progress(self) -> None:
        if self.offset > self._most_bytes:
            self._most_bytes = self.offset
            self._attempts = self._rounds = 0

    def _fail(self, error: RackferryError, *, final: bool = False) -> Effect:
        """Go to the next origin; wait when all had their turn; give up by the rules."""
        self._attempts += 1
        if final:
            self._usable.discard(self._origin)
            if not self._usable:
                return self._give_up(error)
        if self._max_attempts is not None and self._attempts >= self._max_attempts:
            return self._give_up(error)
        later = [origin for origin in sorted(self._usable) if origin > self._origin]
        if later:
            self._origin = later[0]
            return self._ask()
        self._origin = min(self._usable)
        self._rounds += 1
        return self._go(Wait(self._rounds))

    def _give_up(self, error: RackferryError) -> Effect:
        return self._go(GiveUp(error))

    def _error(self, code: str, message: str) -> TransferError:
        return TransferError(
            message,
            object=self.goal.object,
            code=f"transfer-{code}",
            remedy="look at the origin and the network between; it is tried again at the next sync",
        )
