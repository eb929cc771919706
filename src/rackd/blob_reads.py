"""Reads pieces of blobs over one connection, and leaves it when nothing comes any more.

All transfers of a rack share the connection and its window. Turns are taken in the order in
which they were asked for, so transfers share evenly; and since no more than ``WINDOW``
pieces are ever on their way, a ping or a notice waits for half a MiB at most.
"""

from typing import Any

from twisted.internet.defer import DeferredSemaphore
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from common.commands import ReadBlob
from common.conversation import Conversation
from common.errors import TimedOut
from common.reassembly import WINDOW


class BlobReads:
    """The reads of one connection.

    Args:
        conversation: the connection, after its hello.
        clock: for the silence.
        silence_limit_s: the connection is ended when for so long not one byte came while
            something was being read.
    """

    def __init__(
        self, conversation: Conversation, clock: IReactorTime, silence_limit_s: float
    ) -> None:
        self._conversation = conversation
        self._clock = clock
        self._silence_limit_s = silence_limit_s
        self._turns = DeferredSemaphore(WINDOW)
        self._reading = 0
        self._since_s = 0.0
        self._watch: IDelayedCall | None = None

    async def read(
        self, sha256: str, *, of_digests: bool, offset: int, length: int
    ) -> tuple[bytes, int]:
        """One piece, and the size of what it is of.

        It is shorter, or empty, if the region holds its racks to a limit.

        Raises:
            RackferryError: what the region said, or why the connection ended.
        """
        await self._turns.acquire()
        self._begin()
        try:
            answer: dict[str, Any] = await self._conversation.call(
                ReadBlob, sha256=sha256, of_digests=of_digests, offset=offset, length=length
            )
            return answer["piece"], answer["size_bytes"]
        finally:
            self._end()
            self._turns.release()

    def _begin(self) -> None:
        self._reading += 1
        if self._reading == 1:
            self._since_s = self._clock.seconds()
            self._look_in(self._silence_limit_s)

    def _end(self) -> None:
        self._reading -= 1
        if not self._reading and self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _look_in(self, seconds: float) -> None:
        self._watch = self._clock.callLater(seconds, self._look)

    def _look(self) -> None:
        """End the connection, or look again when the silence may be long enough."""
        self._watch = None
        heard_s = max(self._since_s, self._conversation.heard_at_s)
        left_s = heard_s + self._silence_limit_s - self._clock.seconds()
        if left_s > 0:
            self._look_in(left_s)
            return
        self._conversation.abort(
            TimedOut(
                f"not a byte of what was read came within {self._silence_limit_s:g} s",
                object=self._conversation.peer,
                code="peer-silent",
                remedy="look at the region and the network between",
            )
        )
