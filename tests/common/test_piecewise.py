"""A body that comes in pieces, by itself (over a wire: ``rackd/test_amp_blobs``)."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from common.commands import BLOB_PIECE_BYTES
from common.digests import CHUNK_BYTES
from common.errors import RackferryError, TransferError
from common.piecewise import PieceBody
from common.reassembly import WINDOW
from tests.doubles.streams import some_bytes

CONTENT = some_bytes(3 * CHUNK_BYTES + 4321)


class Pieces:
    """Gives pieces when the test says so."""

    def __init__(self) -> None:
        self.waiting: dict[int, tuple[Deferred[tuple[bytes, int]], int]] = {}

    async def __call__(self, offset: int, length: int) -> tuple[bytes, int]:
        answer: Deferred[tuple[bytes, int]] = Deferred()
        self.waiting[offset] = (answer, length)
        try:
            return await answer
        finally:
            del self.waiting[offset]

    def give(self, offset: int, most_bytes: int = 1 << 30) -> None:
        answer, length = self.waiting[offset]
        answer.callback((CONTENT[offset : offset + min(length, most_bytes)], len(CONTENT)))


class Receiver:
    """Takes what is delivered."""

    def __init__(self) -> None:
        self.taken = b""
        self.ends: list[RackferryError | None] = []

    def received(self, piece: bytes) -> None:
        self.taken += piece

    def ended(self, error: RackferryError | None) -> None:
        self.ends.append(error)


class BodyTests(SynchronousTestCase):
    """Back-pressure and failures."""

    def setUp(self) -> None:
        self.pieces, self.receiver = Pieces(), Receiver()
        self.body = PieceBody(self.pieces, 0, len(CONTENT), cut=TransferError)
        beginning = Deferred.fromCoroutine(self.body.begin())
        self.pieces.give(0)
        self.successResultOf(beginning)

    def test_head(self) -> None:
        """The first piece tells that there are bytes, and how many; no more is asked for yet."""
        self.assertEqual(self.body.head.status, 206)
        self.assertEqual(self.body.head.content_range, f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.assertEqual(self.pieces.waiting, {})

    def test_delivered(self) -> None:
        """All pieces are delivered, in whatever order they come, and then the end."""
        self.body.deliver(self.receiver)
        while self.pieces.waiting:
            self.pieces.give(max(self.pieces.waiting))
        self.assertEqual((self.receiver.taken, self.receiver.ends), (CONTENT, [None]))

    def test_paused(self) -> None:
        """While paused nothing new is asked for; what is on its way still arrives."""
        self.body.deliver(self.receiver)
        self.assertEqual(len(self.pieces.waiting), WINDOW)
        self.body.pause()
        while self.pieces.waiting:
            self.pieces.give(min(self.pieces.waiting))
        self.assertEqual(len(self.receiver.taken), (1 + WINDOW) * BLOB_PIECE_BYTES)
        self.body.resume()
        self.assertEqual(len(self.pieces.waiting), WINDOW)

    def test_aborted(self) -> None:
        """After an abort nothing is waited for, and nothing is delivered."""
        self.body.deliver(self.receiver)
        self.body.abort()
        self.assertEqual(self.pieces.waiting, {})
        self.assertEqual(self.receiver.ends, [])

    def test_failures(self) -> None:
        """A read that fails, or brings too much, ends the body; nothing goes on behind it."""
        self.body.deliver(self.receiver)
        answer, length = self.pieces.waiting[min(self.pieces.waiting)]
        answer.callback((b"x" * (length + 1), len(CONTENT)))
        self.assertEqual(self.pieces.waiting, {})
        (error,) = self.receiver.ends
        self.assertIsInstance(error, TransferError)

    def test_held_back(self) -> None:
        """Short and empty answers are asked on from where they ended, and say that it lives."""
        self.body.deliver(self.receiver)
        self.assertFalse(self.body.was_held())
        first = min(self.pieces.waiting)
        self.pieces.give(first, 0)
        self.assertTrue(self.body.was_held())
        self.pieces.give(first, 1000)
        self.assertIn(first + 1000, self.pieces.waiting)
        for _ in range(3):
            self.assertTrue(self.body.was_held(), "the rest of it still is")
        while self.pieces.waiting:
            self.pieces.give(min(self.pieces.waiting))
        self.assertEqual((self.receiver.taken, self.receiver.ends), (CONTENT, [None]))
        self.body.was_held()
        self.assertFalse(self.body.was_held())

    def test_held_back_from_the_start(self) -> None:
        """An empty first answer is an answer: the head is known, and the first byte comes later."""
        body = PieceBody(self.pieces, 0, len(CONTENT), cut=TransferError)
        beginning = Deferred.fromCoroutine(body.begin())
        self.pieces.give(0, 0)
        self.successResultOf(beginning)
        self.assertEqual(body.head.content_length, len(CONTENT))
        body.deliver(self.receiver)
        while self.pieces.waiting:
            self.pieces.give(min(self.pieces.waiting))
        self.assertEqual((self.receiver.taken, self.receiver.ends), (CONTENT, [None]))
