"""The admin socket's answers of a whole region, asked without a socket."""

import itertools
from datetime import UTC, datetime
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import Clock

from common.canonical import canonical_json
from common.errors import RackferryError
from common.identity import new_authority
from common.questions import check_question
from common.throttle import Throttle
from common.vocabulary import Place, Question
from regiond.admin.answers import RegionAnswers
from regiond.admin.bundles import BundleAnswers
from regiond.admin.custom_images import CustomImageAnswers
from regiond.admin.daemon import DaemonAnswers
from regiond.admin.images import ImageAnswers
from regiond.admin.racks import RackAnswers
from regiond.admin.settings import SettingAnswers
from regiond.admin.sources import SourceAnswers
from regiond.admin.web import WebAnswers
from regiond.bundle_imports import BundleImports
from regiond.bundled_uploads import BundledUploads
from regiond.canaries import Canaries
from regiond.chunk_cache import ChunkCache
from regiond.custom_images import CustomImages
from regiond.exports import Exports
from regiond.fleet import RegionFleet
from regiond.import_service import ImportService
from regiond.import_status import ImportStatus
from regiond.racks.sessions import Sessions
from regiond.schedule import Schedule
from regiond.scrub import Scrub
from regiond.store import blobs
from regiond.uploads import Uploads
from regiond.web_sessions import WebSessions
from tests.doubles.importing import ImportCase
from tests.doubles.streams import inline
from tests.doubles.trust import endpoints

IDENTITY = {
    "name": "region-1",
    "release": "0.1.0",
    "hosts": ["region.example"],
    "rpc_port": 5250,
    "enrol_port": 5251,
    "images_port": 5252,
    "web_port": 5240,
}


class AnswerCase(ImportCase):
    """A region with a source, whose admin shell can be asked.

    Attributes:
        told: progress of the last question.
    """

    async def setUp(self) -> None:
        await super().setUp()
        self.told: list[Any] = []
        counter = itertools.count(1)

        async def read_chunk(blob_id: int, seq: int) -> bytes:
            return await self.database.read(blobs.read_chunk, blob_id, seq)

        self.imports = ImportService(
            self.importer, lambda: Schedule(automatic=False), reactor, now=reactor.seconds
        )
        cache = ChunkCache(read_chunk)
        self.exports = Exports(self.database, cache)
        self.fleet = RegionFleet(
            self.database,
            cache,
            new_authority(datetime.now(UTC)),
            "region-1",
            clock=reactor,
            now=lambda: self.time,
            random_bytes=lambda size: next(counter).to_bytes(size, "big"),
            is_importing=lambda: self.imports.is_importing,
        )
        self.canaries = Canaries(self.database, self.fleet, lambda: self.time)
        self.sessions = Sessions(
            self.fleet,
            endpoints,
            "region-1",
            "0.1.0",
            reactor,
            throttle=Throttle(lambda: None, reactor),
        )
        self.web_sessions = WebSessions(
            self.database, lambda: self.time, lambda size: next(counter).to_bytes(size, "big")
        )
        self.custom_images = CustomImages(self.database, self.upstream, inline, lambda: self.time)
        self.uploads = Uploads(self.database, inline, lambda: self.time, "region-1", Clock())
        self.bundles = BundleImports(
            self.database,
            self.importer,
            self.imports,
            BundledUploads(self.uploads, self.custom_images),
        )
        self.scrub = Scrub(
            self.database,
            inline,
            holder="region-1",
            clock=reactor,
            now=lambda: self.time,
            random=lambda: 0.5,
            limit_bytes_s=float("inf"),
            repair=lambda: None,
        )
        self.scrub.startService()
        self.addCleanup(self.scrub.stopService)
        self.import_status = ImportStatus(self.database, self.imports, self.importer)
        self.answers = RegionAnswers(
            SourceAnswers(self.boot_sources, self.selections),
            ImageAnswers(self.region, self.pinning, self.imports, self.importer, reactor),
            BundleAnswers(self.exports, self.bundles, self.importer, self.region, reactor),
            RackAnswers(self.fleet, self.canaries, self.sessions, _identity),
            CustomImageAnswers(self.custom_images),
            SettingAnswers(self.settings),
            DaemonAnswers(
                self.region,
                self.boot_sources,
                self.fleet,
                self.canaries,
                self.import_status,
                scrub=self.scrub,
                identity=_identity,
                clock=reactor,
            ),
            WebAnswers(self.web_sessions, lambda: "http://region.example:5240"),
        )

    async def ask(
        self,
        words: str,
        *ids: object,
        flags: tuple[str, ...] = (),
        **parameters: Any,
    ) -> Any:
        """As the shell would ask: the words are checked, and the answer fits JSON."""
        noun, _, verb = words.partition(" ")
        question = Question(noun, verb, tuple(map(str, ids)), parameters, flags)
        check_question(question, Place.REGION)
        self.told.clear()
        answer = await self.answers.answer(question, self.told.append)
        canonical_json(answer)
        return answer

    async def refused(
        self,
        code: str,
        words: str,
        *ids: object,
        flags: tuple[str, ...] = (),
        **parameters: Any,
    ) -> RackferryError:
        """The refusal of a question, which has this code (any, if that is "")."""
        try:
            answer = await self.ask(words, *ids, flags=flags, **parameters)
        except RackferryError as error:
            self.assertEqual(error.code, code or error.code, error.line())
            return error
        self.fail(f"answered with {answer!r}")
        return None


def _identity() -> dict[str, Any]:
    return dict(IDENTITY)
