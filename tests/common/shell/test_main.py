"""The process of ``rackferry``, with a real admin socket at the other end."""

import json
import os
import sys
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXServerEndpoint
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from common.asking import AdminSocket
from common.errors import Conflict
from common.vocabulary import Place, Question
from tests.doubles.trust import eventually

SRC = Path(__file__).resolve().parents[3] / "src"
RUN = "import sys; from common.shell.main import main; sys.exit(main())"
EVENT = {"code": "no-space", "state": "open"}
IMPORTS = """
import sys
from common.shell.main import main
code = main(sys.argv[1:])
slow = {"twisted", "sqlalchemy", "prompt_toolkit", "cattrs", "gnupg", "treq", "OpenSSL"}
print("imported:", *sorted(slow & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


class Talking(ProcessProtocol):
    """A process that is given its whole input at once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.out = b""
        self.err = b""
        self.ended: Deferred[int] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(self._text.encode())
        self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        self.out += data

    def errReceived(self, data: bytes) -> None:
        self.err += data

    def processEnded(self, reason: Failure) -> None:
        is_good = reason.check(ProcessDone)
        self.ended.callback(0 if is_good else reason.value.exitCode)


class MainTests(TestCase):
    """One-shot commands and lines from stdin."""

    async def setUp(self) -> None:
        """A region that answers what it is told to."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = f"{directory.name}/s"
        self.answer: Any = {}
        self.asked: list[Question] = []
        factory = AdminSocket(Place.REGION, self._answer, reactor)
        port = await UNIXServerEndpoint(reactor, self.path).listen(factory)
        self.addCleanup(port.stopListening)

    async def _answer(self, question: Question, progress: Any) -> Any:
        self.asked.append(attrs.evolve(question, asker=""))
        if "follow" not in question.flags:
            progress({"phase": "fetching"})
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(SRC), "RACKFERRY_SOCKET": self.path}

    def run_shell(self, *words: str, code: str = RUN) -> Deferred[tuple[str, str, int]]:
        return Deferred.fromCoroutine(self._shell(*words, code=code))

    async def _shell(self, *words: str, code: str = RUN) -> tuple[str, str, int]:
        out, err, exit_code = await getProcessOutputAndValue(
            sys.executable, ("-c", code, *words), env=self._environment
        )
        return out.decode(), err.decode(), exit_code

    async def test_an_answer(self) -> None:
        """A question crosses the socket, and its answer comes to stdout."""
        self.answer = [{"id": 1, "url": "http://x"}]
        out, err, exit_code = await self.run_shell("boot-sources", "read", "--json")
        self.assertEqual((json.loads(out), exit_code), (self.answer, 0), err)
        (asked,) = self.asked
        self.assertEqual((asked.noun, asked.verb), ("boot-sources", "read"))

    async def test_progress(self) -> None:
        """What the daemon says while it works is on stderr; a program's log stays clean."""
        self.answer = {"outcome": "complete"}
        out, err, exit_code = await self.run_shell("boot-resources", "import", "wait")
        self.assertEqual((out, err, exit_code), ("outcome  complete\n", "fetching\n", 0))
        _, err, _ = await self.run_shell("boot-resources", "import", "wait", "--json")
        self.assertEqual(err, "")

    async def test_an_error(self) -> None:
        """The daemon's error is the shell's, with all its fields and code 1."""
        self.answer = Conflict("exists", object="boot-source 1", remedy="delete it")
        out, err, exit_code = await self.run_shell("status", "--json")
        self.assertEqual((out, exit_code), ("", 1))
        self.assertEqual(json.loads(err.splitlines()[-1])["error"], self.answer.to_json())

    async def test_no_daemon(self) -> None:
        """Without a daemon the code is 3 and the socket is named."""
        out, err, exit_code = await self.run_shell("status", "--socket", "/nonexistent")
        self.assertEqual((out, exit_code), ("", 3))
        self.assertIn("/nonexistent", err)

    async def test_lines_from_stdin(self) -> None:
        """Without a noun and a terminal, lines are read from stdin; the last failure counts."""
        process = Talking("boot-sources read --json\nnonsense\nstatus --json\n")
        self.answer = []
        reactor.spawnProcess(
            process, sys.executable, [sys.executable, "-c", RUN], env=self._environment
        )
        self.assertEqual(await process.ended, 2)
        self.assertEqual(process.out, b"[]\n[]\n")

    async def test_nothing_slow_is_imported(self) -> None:
        """Help, an answer in JSON and one as MAAS gives it need none of it, nor does a table."""
        for words in (
            ("--version",),
            ("help",),
            ("boot-sources", "--help"),
            ("complete", "--", "boot-source", "read", ""),
            ("status", "--json"),
            ("maas", "admin", "boot-resources", "is-importing"),
        ):
            _, err, exit_code = await self.run_shell(*words, code=IMPORTS)
            self.assertEqual((err.splitlines()[-1], exit_code), ("imported:", 0))
        self.answer = [{"id": 1}]
        _, err, _ = await self.run_shell("boot-sources", "read", code=IMPORTS)
        self.assertEqual(err.splitlines()[-1], "imported:")

    async def test_following_until_ctrl_c(self) -> None:
        """Ctrl-C ends following with code 130 and no traceback; the daemon's end is gone, too."""
        ended: list[bool] = []

        async def events() -> AsyncGenerator[dict[str, Any], None]:
            try:
                yield EVENT
                await Deferred()
            finally:
                ended.append(True)

        self.answer = events()
        process = Talking("")
        shell = reactor.spawnProcess(
            process,
            sys.executable,
            [sys.executable, "-c", RUN, "events", "read", "follow", "--json"],
            env=self._environment,
        )
        await eventually(reactor, lambda: process.out.endswith(b"\n"), timeout_s=20.0)
        self.assertEqual(json.loads(process.out), EVENT)
        shell.signalProcess("INT")
        self.assertEqual((await process.ended, process.err), (130, b""))
        await eventually(reactor, lambda: ended)

    async def test_a_reader_of_events_that_leaves(self) -> None:
        """Who has seen enough ends following, without a traceback."""

        async def events() -> AsyncGenerator[dict[str, Any], None]:
            while True:
                yield EVENT

        self.answer = events()
        line = f'{sys.executable} -c "{RUN}" events read follow --json | head -1'
        out, err, _ = await getProcessOutputAndValue("/bin/sh", ("-c", line), env=self._environment)
        self.assertEqual((json.loads(out), b"Traceback" in err), (EVENT, False), err)

    async def test_a_full_disk(self) -> None:
        """Output that cannot be written, much or little, is one line and code 1."""
        for words in ("help", "--version", "boot-sources read"):
            line = f'{sys.executable} -c "{RUN}" {words} > /dev/full'
            out, err, code = await getProcessOutputAndValue(
                "/bin/sh", ("-c", line), env=self._environment
            )
            self.assertEqual((out, code), (b"", 1))
            self.assertNotIn(b"Traceback", err)
            self.assertEqual(err.splitlines()[-1], b"rackferry: No space left on device")

    async def test_a_closed_pipe(self) -> None:
        """A reader that has gone away is no traceback."""
        self.answer = [{"id": number} for number in range(20_000)]
        line = f'{sys.executable} -c "{RUN}" boot-sources read --json | head -1'
        out, err, _ = await getProcessOutputAndValue("/bin/sh", ("-c", line), env=self._environment)
        self.assertEqual((out, b"Traceback" in err), (b"[\n", False), err)

    async def test_whoever_starts_it_may_have_closed_streams(self) -> None:
        """No traceback, the right exit code, and no answer in the place of a socket's bytes."""
        self.answer = [{"id": 1}]
        for words, closed, expected in (
            ("boot-sources read", ">&-", 0),
            ("boot-sources read", "<&-", 0),
            ("nonsense", "2>&-", 2),
            ("", "<&-", 0),
        ):
            line = f'{sys.executable} -c "{RUN}" {words} {closed}'
            _, err, code = await getProcessOutputAndValue(
                "/bin/sh", ("-c", line), env=self._environment
            )
            self.assertNotIn(b"Traceback", err)
            self.assertEqual(code, expected, (words, closed))

    async def test_a_terminal_that_lacks_a_character(self) -> None:
        """What it cannot show is a question mark, and no traceback."""
        self.answer = [{"id": "\u2713"}]
        line = f'PYTHONIOENCODING=latin-1 {sys.executable} -c "{RUN}" boot-sources read'
        out, err, code = await getProcessOutputAndValue(
            "/bin/sh", ("-c", line), env=self._environment
        )
        self.assertEqual((out.splitlines()[-1].split()[0], code), (b"?", 0), err)
