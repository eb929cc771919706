"""Ranges, conditions and the producer, over a connection in memory."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from common.digests import CHUNK_BYTES
from common.errors import Busy, NotFound, StorageError
from common.serving import SEND_TIMEOUT_S, answering, serve
from common.sockets import SEND_BYTES
from tests.doubles.streams import MemorySource, some_bytes

CONTENT = some_bytes(3 * CHUNK_BYTES + 77)


class Leaf(Resource):
    """Serves one source."""

    isLeaf = True

    def __init__(self, source: MemorySource, clock: Clock) -> None:
        super().__init__()
        self.source = source
        self.clock = clock
        self.error: Exception | None = None

    def render(self, request: Any) -> int:
        return answering(request, self.answer(request))

    async def answer(self, request: Any) -> None:
        if self.error is not None:
            raise self.error
        await serve(request, self.source, clock=self.clock)


class Transport(StringTransport):
    """A transport with the attributes of a real socket's."""

    SEND_LIMIT = 1
    aborted = False
    full = False

    def write(self, data: bytes) -> None:
        """As a socket's transport, ask for a pause at each write while the reader is slow."""
        super().write(data)
        if self.full and self.producer is not None:
            self.producer.pauseProducing()

    def abortConnection(self) -> None:
        self.aborted = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Part of a TCP transport."""


class ServingCase(SynchronousTestCase):
    """Asks a site in memory."""

    def setUp(self) -> None:
        self.start(CONTENT)

    def start(self, content: bytes) -> None:
        self.clock = Clock()
        self.source = MemorySource(content)
        self.leaf = Leaf(self.source, self.clock)
        self.connect()

    def connect(self) -> None:
        site = Site(self.leaf, reactor=self.clock)
        self.channel: Any = site.buildProtocol(None)
        self.transport = Transport()
        self.channel.makeConnection(self.transport)

    def ask(self, method: str = "GET", **headers: str) -> None:
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        text = "\r\n".join([f"{method} /x HTTP/1.1", "Host: h", *lines, "", ""])
        self.channel.dataReceived(text.encode("latin-1"))

    def answer(self, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """The answer to a question that is answered at once."""
        self.transport.clear()
        self.ask(method, **headers)
        return self.parsed()

    def parsed(self) -> tuple[int, dict[str, str], bytes]:
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return int(status.split()[1]), {name.lower(): value for name, value in pairs}, body


class AnswerTests(ServingCase):
    """What is answered."""

    def test_the_whole(self) -> None:
        """200, everything, and the headers that make a name by content worth its while."""
        status, headers, body = self.answer()
        self.assertEqual((status, body), (200, CONTENT))
        self.assertEqual(headers["content-length"], str(len(CONTENT)))
        self.assertEqual(headers["etag"], self.source.etag)
        self.assertEqual(headers["accept-ranges"], "bytes")
        self.assertIn("immutable", headers["cache-control"])

    def test_head_is_get_without_the_bytes(self) -> None:
        """The same headers, no body, no read."""
        status, headers, body = self.answer("HEAD")
        self.assertEqual((status, body, self.source.reads), (200, b"", []))
        self.assertEqual(headers["content-length"], str(len(CONTENT)))

    @given(st.integers(0, len(CONTENT) - 1), st.integers(0, len(CONTENT) - 1))
    @settings(max_examples=25)
    def test_every_range_is_exact(self, one: int, other: int) -> None:
        """206 brings exactly the bytes asked for, and reads no chunk that it need not."""
        first, last = sorted((one, other))
        self.start(CONTENT)
        status, headers, body = self.answer(range=f"bytes={first}-{last}")
        self.assertEqual((status, body), (206, CONTENT[first : last + 1]))
        self.assertEqual(headers["content-range"], f"bytes {first}-{last}/{len(CONTENT)}")
        self.assertEqual(headers["content-length"], str(last - first + 1))
        wanted = list(range(first // CHUNK_BYTES, last // CHUNK_BYTES + 1))
        self.assertEqual(self.source.reads, wanted)

    def test_ranges_that_cannot_be(self) -> None:
        """416 says the size, and carries an error object instead of bytes."""
        for wrong in ("bytes=x", f"bytes={len(CONTENT)}-", "bytes=5-4"):
            status, headers, body = self.answer(range=wrong)
            self.assertEqual(status, 416)
            self.assertEqual(headers["content-range"], f"bytes */{len(CONTENT)}")
            self.assertTrue(json.loads(body)["error"]["code"].startswith("range-"))

    def test_several_ranges_are_the_whole(self) -> None:
        """200 with everything, as the RFC allows."""
        status, _, body = self.answer(range="bytes=0-1,4-5")
        self.assertEqual((status, len(body)), (200, len(CONTENT)))

    def test_not_modified(self) -> None:
        """304 without a body if the reader has these bytes, however it says so."""
        for tag in (self.source.etag, f"W/{self.source.etag}", "*", f'"a", {self.source.etag}'):
            status, headers, body = self.answer(if_none_match=tag)
            self.assertEqual((status, body, headers["etag"]), (304, b"", self.source.etag))
        self.assertEqual(self.answer(if_none_match='"other"')[0], 200)

    def test_if_range(self) -> None:
        """The range counts only if the reader's bytes are these; else all are sent."""
        first = {"range": "bytes=0-4"}
        self.assertEqual(self.answer(**first, if_range=self.source.etag)[0], 206)
        for other in ('"other"', f"W/{self.source.etag}", "Sat, 21 Nov 2026 00:00:00 GMT"):
            self.assertEqual(self.answer(**first, if_range=other)[0], 200)

    def test_nothing(self) -> None:
        """An empty blob is 200 with no bytes; it has no ranges."""
        self.start(b"")
        self.assertEqual(self.answer()[::2], (200, b""))
        self.assertEqual(self.answer(range="bytes=0-")[0], 416)

    def test_other_methods(self) -> None:
        """405, and what would have been right."""
        status, headers, _ = self.answer("DELETE")
        self.assertEqual((status, headers["allow"]), (405, "GET, HEAD"))

    def test_expected_failures_are_error_objects(self) -> None:
        """The status and the object of the table of errors."""
        for error, wanted in (
            (NotFound("no blob", object="b", remedy="ask"), 404),
            (Busy("full"), 503),
        ):
            self.leaf.error = error
            status, headers, body = self.answer()
            self.assertEqual(status, wanted)
            self.assertEqual(json.loads(body), {"error": error.to_json()})
            self.assertEqual(headers["content-type"], "application/json")

    def test_bugs_do_not_leave_the_process(self) -> None:
        """500 with a reference; the text of the exception is only in the log."""
        self.leaf.error = ZeroDivisionError("secret")
        status, _, body = self.answer()
        self.assertEqual((status, json.loads(body)["error"]["code"]), (500, "internal"))
        self.assertNotIn(b"secret", body)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class ProducerTests(ServingCase):
    """How bytes are sent."""

    def resume(self) -> None:
        self.transport.full = False
        assert self.transport.producer is not None
        self.transport.producer.resumeProducing()

    def test_reads_one_chunk_ahead_and_waits(self) -> None:
        """While the reader takes nothing, one chunk is sent and one is ready, no more."""
        self.transport.full = True
        self.ask()
        self.assertEqual(self.source.reads, [0, 1])
        self.clock.advance(1)
        self.assertEqual(self.source.reads, [0, 1])
        self.resume()
        self.assertEqual(self.source.reads, [0, 1, 2, 3])
        self.assertEqual(self.parsed()[2], CONTENT)

    def test_sends_much_at_once(self) -> None:
        """The connection's socket may take a whole chunk in one call."""
        self.ask()
        self.assertEqual(self.transport.SEND_LIMIT, SEND_BYTES)

    def test_a_failing_first_read_is_an_error_answer(self) -> None:
        """Nothing was sent yet, so the reader is told what happened."""
        self.source.errors[0] = StorageError("disk error")
        status, headers, _ = self.answer()
        self.assertEqual(status, 500)
        self.assertNotIn("etag", headers)

    def test_a_later_failing_read_aborts(self) -> None:
        """The reader never takes a failed read for the end of the bytes."""
        for error in (StorageError("disk error"), ZeroDivisionError()):
            self.connect()
            self.source.errors[2] = error
            self.ask()
            self.assertTrue(self.transport.aborted)
            self.assertLess(len(self.parsed()[2]), len(CONTENT))
        self.flushLoggedErrors(ZeroDivisionError)

    def test_a_reader_that_goes_away_stops_the_reading(self) -> None:
        """After a disconnect nothing is read any more, and no timer is left."""
        gate: Deferred[None] = Deferred()
        self.source.gates[1] = gate
        self.ask()
        self.assertEqual(self.source.reads, [0, 1])
        self.channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.source.reads, [0, 1])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_failure_after_the_reader_went_away_is_nobodys(self) -> None:
        """A source that makes another error of its cancellation finds nobody to answer."""
        self.source.gates[0] = Deferred(lambda gate: gate.errback(StorageError("interrupted")))
        self.ask()
        self.channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.transport.value(), b"")

    def test_a_reader_that_does_not_read_is_dropped(self) -> None:
        """A chunk that is not taken for ten minutes ends the connection."""
        self.transport.full = True
        self.ask()
        self.clock.advance(SEND_TIMEOUT_S - 1)
        self.assertFalse(self.transport.aborted)
        self.clock.advance(2)
        self.assertTrue(self.transport.aborted)

    def test_the_connection_is_used_again(self) -> None:
        """A second question on the same connection is answered like the first."""
        self.assertEqual(self.answer()[2], CONTENT)
        self.assertEqual(self.answer(range="bytes=1-2")[2], CONTENT[1:3])
