"""Sending bytes to a region: over a real Unix socket, into a real database."""

import io
import shutil
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXServerEndpoint
from twisted.internet.task import Clock
from twisted.internet.threads import blockingCallFromThread, deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from common import commands
from common.asking import AdminSocket
from common.conversation import Conversation, Table
from common.digests import CHUNK_BYTES, sha256_hex
from common.errors import Busy, IntegrityError, NoDaemon, ProtocolError, RackferryError, Stale
from common.shell import upload
from common.shell.line import connected
from common.shell.upload import Upload
from common.vocabulary import Place
from regiond.admin.uploads import UploadDoor
from regiond.store import blob_writing, blobs
from regiond.store.database import Database
from regiond.uploads import Uploads
from tests.doubles.directories import fresh_directory
from tests.doubles.stores import NOW, Store, _empty_file
from tests.doubles.streams import inline, some_bytes
from tests.doubles.trust import eventually

CONTENT = some_bytes(5 * CHUNK_BYTES + 77)
NAME = sha256_hex(CONTENT)


class OverTheSocket(Store, TestCase):
    """A region that listens at ``path``."""

    timeout = 60

    async def setUp(self) -> None:
        directory = fresh_directory(self)
        shutil.copy(_empty_file(), directory / "regiond.db")
        self.database = Database(f"sqlite:///{directory / 'regiond.db'}", None)
        await self.database.open()
        self.addCleanup(self.close)
        self.path = str(directory / "admin.sock")
        self.told: list[Any] = []
        self.time = NOW
        self.uploads = Uploads(self.database, inline, lambda: self.time, "region-1", Clock())
        await self.listen()
        self.addCleanup(self.stop)

    def door(self) -> Table:
        return UploadDoor(self.uploads).table

    async def listen(self) -> None:
        self.conversations: list[Conversation] = []
        factory = AdminSocket(Place.REGION, _no_answer, reactor, self.door)
        build = factory.buildProtocol

        def remember(address: Any) -> Conversation:
            self.conversations.append(build(address))
            return self.conversations[-1]

        factory.buildProtocol = remember
        self.port = await UNIXServerEndpoint(reactor, self.path).listen(factory)

    async def close(self) -> None:
        await self.database.close()

    def stop(self) -> "Deferred[None]":
        """The region is gone, and so are all connections to it."""

        async def stopping() -> None:
            await self.port.stopListening()
            for each in self.conversations:
                each.close()
            await eventually(reactor, lambda: all(each.is_lost for each in self.conversations))

        return Deferred.fromCoroutine(stopping())

    def upload(self, content: bytes = CONTENT, **more: Any) -> Upload:
        more.setdefault("wait", self.wait)
        return Upload(
            self.path, io.BytesIO(content), sha256_hex(CONTENT), len(CONTENT),
            self.told.append, **more,
        )  # fmt: skip

    def wait(self, seconds: float) -> None:
        self.time += seconds

    async def run_upload(self, sending: Upload) -> None:
        await deferToThread(sending.run)

    def held(self) -> blobs.Blob:
        found = self.read(blobs.find_blob, NAME)
        assert found is not None
        return found


class UploadTests(OverTheSocket):
    async def test_the_region_gets_every_byte(self) -> None:
        """Complete and verified, and it is said how far it is."""
        sending = self.upload()
        await self.run_upload(sending)
        self.assertTrue(self.held().is_complete)
        self.assertEqual(sending.sent_bytes, len(CONTENT))
        self.assertEqual(
            self.told[-1],
            {"phase": "sending", "fetched_bytes": len(CONTENT), "total_bytes": len(CONTENT)},
        )

    async def test_what_is_known_is_not_sent(self) -> None:
        """The second time nothing crosses the socket."""
        await self.run_upload(self.upload())
        again = self.upload()
        await self.run_upload(again)
        self.assertEqual(again.sent_bytes, 0)

    async def test_a_shell_that_dies_costs_what_was_under_way(self) -> None:
        """The next run sends only what was not held."""

        class Died(Exception):
            pass

        class Dying(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                if self.tell() > 4 * CHUNK_BYTES:
                    raise Died
                return super().read(size)

        dying = self.upload()
        dying.file = Dying(CONTENT)
        try:
            await self.run_upload(dying)
        except Died:
            await eventually(reactor, lambda: all(each.is_lost for each in self.conversations))
        again = self.upload()
        await self.run_upload(again)
        self.assertTrue(self.held().is_complete)
        self.assertLessEqual(dying.sent_bytes + again.sent_bytes, len(CONTENT) + 3 * CHUNK_BYTES)

    async def test_a_region_that_restarts_is_waited_for(self) -> None:
        """The same run goes on with what the region holds."""
        case = self

        class Halting(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                if self.tell() > 4 * CHUNK_BYTES and not pauses:
                    blockingCallFromThread(reactor, case.stop)
                return super().read(size)

        pauses = []

        def wait(seconds: float) -> None:
            pauses.append(seconds)
            self.time += 10.0
            listening = lambda: Deferred.fromCoroutine(self.listen())  # noqa: E731
            blockingCallFromThread(reactor, listening)

        sending = self.upload(wait=wait)
        sending.file = Halting(CONTENT)
        await self.run_upload(sending)
        self.assertEqual(len(pauses), 1)
        self.assertTrue(self.held().is_complete)
        self.assertLessEqual(sending.sent_bytes, len(CONTENT) + 3 * CHUNK_BYTES)

    async def test_a_file_that_changed(self) -> None:
        """Other bytes than those of the digest are refused, and nothing of them is kept."""
        sending = self.upload(some_bytes(len(CONTENT), seed=3))
        with self.assertRaises(IntegrityError):
            await self.run_upload(sending)
        self.assertEqual(self.held().held_bytes, 0)

    async def test_a_file_that_became_shorter(self) -> None:
        """It is said of the file, with what to do, and not of bytes that have come."""
        sending = self.upload(CONTENT[: 2 * CHUNK_BYTES])
        with self.assertRaises(IntegrityError) as raised:
            await self.run_upload(sending)
        self.assertIn("became shorter", raised.exception.message)
        self.assertIn("run the command again", raised.exception.remedy)

    async def test_an_import_of_the_same_bytes_is_waited_for(self) -> None:
        """The shell says so; what the import fetched need not be sent."""
        self.take_lease()
        epoch = self.epoch
        self.write(blob_writing.claim_blob, NAME, len(CONTENT), epoch)
        waited: Deferred[None] = Deferred()

        def wait(_: float) -> None:
            if not waited.called:
                reactor.callFromThread(waited.callback, None)

        sending = self.upload(wait=wait)
        running = deferToThread(sending.run)
        await waited
        self.assertIn("an import", self.told[0]["object"])
        self.write(blob_writing.keep_whole, CONTENT)
        await running
        self.assertEqual(sending.sent_bytes, 0)

    async def test_commands_without_an_upload(self) -> None:
        """Nothing is written or closed that was not opened."""
        for command, arguments in (
            (b"WriteUpload", {"offset": b"0", "piece": b"x"}),
            (b"CloseUpload", {}),
        ):
            error = await deferToThread(self._said, command, arguments)
            self.assertEqual((type(error), error.code), (ProtocolError, "upload-not-open"))

    def _said(self, command: bytes, arguments: dict[str, bytes]) -> RackferryError:
        try:
            with connected(self.path) as line:
                line.call(command, **arguments)
        except RackferryError as error:
            return error
        raise AssertionError


class PatienceTests(SynchronousTestCase):
    """Without any region."""

    def setUp(self) -> None:
        super().setUp()
        self.time = 0.0
        self.failures: list[RackferryError] = []
        self.sending = Upload(
            str(fresh_directory(self) / "none.sock"), io.BytesIO(b"x"), sha256_hex(b"x"), 1,
            wait=self.wait, now=lambda: self.time,
        )  # fmt: skip

    def wait(self, seconds: float) -> None:
        self.time += seconds

    def test_a_region_that_does_not_come_back(self) -> None:
        """It is waited for so long, and then named."""
        self.assertRaises(NoDaemon, self.sending.run)
        self.assertGreater(self.time, upload.PATIENCE_S)

    def test_whoever_is_at_work_on_it_is_waited_for_without_end(self) -> None:
        """As long as the region answers."""
        answers = [*[Busy("an import")] * 2000, Stale("an import"), None]

        def send(_: Upload, __: object) -> None:
            answer = answers.pop(0)
            if answer is not None:
                raise answer

        class Line:
            def __enter__(self) -> None:
                pass

            def __exit__(self, *_: object) -> None:
                pass

        self.patch(upload, "connected", lambda _: Line())
        self.patch(Upload, "_send", send)
        self.sending.run()
        self.assertGreater(self.time, 2 * upload.PATIENCE_S)

    def test_the_wire_is_the_daemons(self) -> None:
        """Names and limits are those that the daemon declares."""
        self.assertEqual(
            (upload.PIECE_BYTES, upload.WINDOW), (commands.PIECE_BYTES, commands.UPLOAD_WINDOW)
        )
        named = {
            command.__name__: {name.decode() for name, _ in command.arguments}
            for command in (commands.OpenUpload, commands.WriteUpload, commands.CloseUpload)
        }
        self.assertEqual(
            named,
            {
                "OpenUpload": {"sha256", "size_bytes"},
                "WriteUpload": {"offset", "piece"},
                "CloseUpload": set(),
            },
        )


async def _no_answer(*_: object) -> None:
    raise AssertionError("nothing is asked here")
