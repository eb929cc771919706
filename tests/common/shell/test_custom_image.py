"""``boot-resources create``: in which order things are checked, read, sent and asked for."""

import hashlib
import io
from pathlib import Path
from typing import Any, BinaryIO

from twisted.trial.unittest import SynchronousTestCase

from common.errors import Conflict, IntegrityError, NoDaemon, RackferryError, TimedOut, WrongUsage
from common.shell import custom_image
from common.shell.custom_image import create_by
from common.vocabulary import BlobName, Question
from tests.common.test_file_types import SAMPLES
from tests.doubles.directories import fresh_directory

TGZ = SAMPLES["tgz"]()
CONTENT = BlobName(hashlib.sha256(TGZ).hexdigest(), len(TGZ))
GIVEN: dict[str, Any] = {"name": "x", "architecture": "amd64"}


class CreateTests(SynchronousTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = fresh_directory(self) / "image.tgz"
        self.path.write_bytes(TGZ)
        self.asked: list[Question] = []
        self.sent: list[BlobName] = []
        self.told: list[Any] = []
        self.time, self.step_s = 0.0, 0.0
        self.failures: list[RackferryError] = []

    def now(self) -> float:
        self.time += self.step_s
        return self.time

    def wait(self, seconds: float) -> None:
        self.time += seconds

    def ask(self, question: Question) -> Any:
        self.asked.append(question)
        if self.failures:
            raise self.failures.pop(0)
        return {"id": 7}

    def send(self, file: BinaryIO, content: BlobName) -> None:
        file.seek(0)
        self.assertEqual(hashlib.sha256(file.read()).hexdigest(), content.sha256)
        self.sent.append(content)

    def create(self, *flags: str, path: Path | str | None = None, **more: Any) -> Any:
        question = Question("boot-resources", "create", (), {**GIVEN, **more}, flags)
        return create_by(
            self.ask, self.send, question, str(path or self.path), self.told.append,
            now=self.now, wait=self.wait,
        )  # fmt: skip

    def fails(self, kind: type[RackferryError], code: str, **more: Any) -> RackferryError:
        error: RackferryError = self.assertRaises(kind, self.create, **more)
        self.assertEqual(error.code, code)
        return error

    def test_it_is_checked_then_sent_then_made(self) -> None:
        """The region says what it would refuse before a byte is read or sent."""
        self.assertEqual(self.create(title="Ours"), {"id": 7})
        check, make = self.asked
        self.assertEqual(
            (check.flags, dict(check.parameters)), (("check",), {**GIVEN, "title": "Ours"})
        )
        self.assertEqual(
            (make.flags, dict(make.parameters)),
            ((), {**GIVEN, "title": "Ours", "content": str(CONTENT)}),
        )
        self.assertEqual(self.sent, [CONTENT])

    def test_what_the_region_refuses_is_not_sent(self) -> None:
        """A reserved name costs no upload."""
        self.failures = [Conflict("no", code="custom-reserved")]
        self.fails(Conflict, "custom-reserved")
        self.assertEqual(self.sent, [])

    def test_a_check_ends_there(self) -> None:
        """Nothing is sent or made."""
        self.create("check")
        self.assertEqual((len(self.asked), self.sent), (1, []))

    def test_a_file_of_another_type(self) -> None:
        """It is said before anything is asked, with the type that fits."""
        error = self.fails(WrongUsage, "filetype-content", filetype="ddxz")
        self.assertIn("tgz or ddtgz", error.remedy)
        self.assertEqual(self.asked, [])

    def test_promises_are_checked_before_anything_is_sent(self) -> None:
        """Digest and size, if they are given; the right ones are no part of the question."""
        self.fails(IntegrityError, "custom-sha256", sha256="0" * 64)
        self.fails(IntegrityError, "custom-size", size=5)
        self.assertEqual(self.sent, [])
        self.create(sha256=CONTENT.sha256.upper(), size=CONTENT.size_bytes)
        self.assertEqual(dict(self.asked[-1].parameters), {**GIVEN, "content": str(CONTENT)})

    def test_a_time_that_is_over(self) -> None:
        """It ends as soon as it is told how far it is; what was sent is not lost by that."""
        self.step_s = 40.0
        error = self.fails(TimedOut, "timed-out", timeout=30)
        self.assertIn("run the same command again", error.remedy)
        self.assertEqual(self.sent, [])
        self.create(timeout=100)
        self.assertNotIn("timeout", self.asked[-1].parameters)

    def test_files_that_cannot_be_sent(self) -> None:
        """A pipe, a directory, and one that is not there: each is named."""
        for path in ("-", "/", self.path.parent / "none"):
            error = self.assertRaises(WrongUsage, self.create, path=path)
            self.assertIn(str(path), error.object)
        self.assertEqual(self.asked, [])

    def test_a_region_that_restarts_before_its_answer(self) -> None:
        """It is asked again: the same bytes are no second version."""
        ask = self.ask

        def going_away(question: Question) -> Any:
            if not question.flags and not self.told[-1]["phase"].startswith("waiting"):
                self.failures = [NoDaemon("it went away")]
            return ask(question)

        question = Question("boot-resources", "create", (), GIVEN)
        said = create_by(
            going_away, self.send, question, str(self.path), self.told.append,
            now=self.now, wait=self.wait,
        )  # fmt: skip
        self.assertEqual(said, {"id": 7})
        self.assertEqual(len(self.asked), 3)

    def test_large_files_are_read_piece_by_piece(self) -> None:
        """No more than a MiB of a file is ever in memory."""

        class Counting(io.FileIO):
            most = 0

            def read(self, size: int | None = -1) -> bytes:
                assert size is not None
                assert 0 < size <= 1 << 20
                return super().read(size)

        with Counting(self.path) as file:
            self.assertEqual(custom_image.named(file, self.told.append), CONTENT)  # type: ignore[arg-type]
