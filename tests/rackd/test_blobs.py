"""Tests of fetching blobs from regions, over HTTP in memory."""

import random

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import Request

from common.digests import CHUNK_BYTES
from common.errors import IntegrityError, TransferError
from common.images import File
from common.throttle import Throttle
from rackd.blobs import AMONG_OTHERS, BlobFetcher
from rackd.https_blobs import HttpsBlobs
from tests.doubles.disks import LibraryCase, at_once
from tests.doubles.fetches import CONTENT, FetchCase
from tests.doubles.images import content, digests_of, file_of
from tests.doubles.streams import Act, MemoryOrigin, MemorySink

BLOB = content(2 * CHUNK_BYTES + 100)


class _Blobs(Resource):
    """Answers from a dict; ranges as asked."""

    isLeaf = True

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        super().__init__()
        self.answers = answers
        self.asked: list[tuple[bytes, str | None]] = []

    def render_GET(self, request: Request) -> bytes:
        range_ = request.getHeader("range")
        self.asked.append((request.path, range_))
        body = self.answers.get(request.path)
        if body is None:
            request.setResponseCode(404)
            return b""
        if range_:
            first = int(range_.removeprefix("bytes=").removesuffix("-"))
            request.setResponseCode(206)
            request.setHeader("content-range", f"bytes {first}-{len(body) - 1}/{len(body)}")
            body = body[first:]
        return body


class _Regions:
    def __init__(self, agent: RequestTraversalAgent, *bases: str) -> None:
        self.agent = agent
        self.bases = list(bases)

    def image_bases(self) -> list[str]:
        return self.bases

    def doubt(self) -> None:
        """Nothing is doubted here."""


class FetchTests(LibraryCase):
    """From a region's port to the cache."""

    def setUp(self) -> None:
        super().setUp()
        self.file = file_of("squashfs", BLOB)
        self.path = f"/blobs/{self.file.sha256}".encode()
        self.region = _Blobs({self.path: BLOB, self.path + b"/digests": digests_of(BLOB)})
        self.regions = _Regions(RequestTraversalAgent(self.region), "https://region:5252")
        self.told: list[int] = []
        self.clock = Clock()

    def fetch(self, file: File) -> "Deferred[None]":
        fetcher = BlobFetcher(
            HttpsBlobs(self.regions, self.clock),
            self.library,
            clock=self.clock,
            random=random.Random(1).random,
            hashing=at_once,
            throttle=Throttle(lambda: None, self.clock),
        )
        fetching = Deferred.fromCoroutine(fetcher.fetch(file, self.told.append))
        for _ in range(40):
            self.regions.agent.flush()
            self.clock.advance(10)
        return fetching

    def test_whole(self) -> None:
        """A blob ends in the cache, under its name, with its bytes."""
        self.successResultOf(self.fetch(self.file))
        self.assertEqual((self.library.cache / self.file.sha256).read_bytes(), BLOB)
        self.assertEqual(self.told[-1], len(BLOB))

    def test_resumed(self) -> None:
        """What is there of a partial is not fetched again."""
        partial = self.images_dir / "partial" / f"{self.file.sha256}.part"
        partial.write_bytes(BLOB[: CHUNK_BYTES + 77])
        self.successResultOf(self.fetch(self.file))
        self.assertIn((self.path, f"bytes={CHUNK_BYTES}-"), self.region.asked)
        self.assertEqual((self.library.cache / self.file.sha256).read_bytes(), BLOB)

    def test_corrupt(self) -> None:
        """Wrong bytes never reach the cache; what was right before them stays."""
        wrong = bytearray(BLOB)
        wrong[CHUNK_BYTES + 5] ^= 1
        self.region.answers[self.path] = bytes(wrong)
        self.failureResultOf(self.fetch(self.file), IntegrityError)
        self.assertEqual(list(self.library.cache.iterdir()), [])
        self.assertEqual(self.library.survey().holdings.partials, {self.file.sha256: CHUNK_BYTES})

    def test_wrong_list(self) -> None:
        """A digest list that is not the promised one is refused before any byte of the blob."""
        self.region.answers[self.path + b"/digests"] = digests_of(content(len(BLOB), seed=2))
        self.failureResultOf(self.fetch(self.file), IntegrityError)
        self.assertNotIn(self.path, {path for path, _ in self.region.asked})

    def test_unknown(self) -> None:
        """A blob that no region gives is a transfer error; without any region, too."""
        self.region.answers.clear()
        self.failureResultOf(self.fetch(self.file), TransferError)
        self.regions.bases = []
        error = self.failureResultOf(self.fetch(self.file), TransferError).value
        self.assertEqual(error.code, "transfer-no-region")


class LimitTests(FetchCase):
    """How long a region that fails holds a file up, by the clock."""

    def test_a_silent_region_is_left_within_5_seconds(self) -> None:
        """With another region known, bytes flow again within 5 s, whether it stalls or says nothing."""
        for act in (Act(stall_at=2 * CHUNK_BYTES), Act(silent=True)):
            self.sink = MemorySink()
            silent, other = MemoryOrigin(CONTENT, [act], "silent"), MemoryOrigin(CONTENT)
            fetching = self.start(silent, other, limits=AMONG_OTHERS)
            self.clock.pump([0.05] * 98)
            self.successResultOf(fetching)
            self.assertEqual(self.sink.finished, CONTENT)
            self.assertEqual(len(other.offsets), 1)
