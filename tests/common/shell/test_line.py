"""The shell's end of the admin socket (with the daemon's: ``common/test_asking``)."""

import base64
import errno
import json
import socket
import threading
from typing import Any

from twisted.protocols import amp
from twisted.trial.unittest import SynchronousTestCase

from common.commands import (
    AnswerItem,
    AnswerProgress,
    Ask,
    ReadAnswer,
    ReadBlob,
    ReadBundle,
)
from common.errors import (
    Conflict,
    NoDaemon,
    NotFound,
    ProtocolError,
    RackferryError,
    Refused,
    TimedOut,
    WrongUsage,
    packed,
)
from common.shell import line
from common.shell.line import MOST_FILE_BYTES, Line, ask, connected
from common.vocabulary import Question
from tests.doubles.directories import fresh_directory

STATUS = Question("status")
WHOLE = {"_answer": "1", "piece": "{}", "size_bytes": "2", "ticket": "0"}


def box(**pairs: str | bytes) -> bytes:
    """A box as AMP writes it."""
    values = {key: value if isinstance(value, bytes) else value.encode()
              for key, value in pairs.items()}  # fmt: skip
    return amp.AmpBox({key.encode(): value for key, value in values.items()}).serialize()


class LineTests(SynchronousTestCase):
    """A daemon that says what it is told to, whatever it is asked."""

    def daemon(self, *says: bytes) -> str:
        """Listen once, read something before each thing to say, then say no more; the path."""
        path = str(fresh_directory(self) / "s")
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(path)
        listening.listen()
        self.heard: list[bytes] = []

        def serve() -> None:
            connection, _ = listening.accept()
            with listening, connection:
                for each in says:
                    self.heard.append(connection.recv(1 << 20))
                    connection.sendall(each)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 20):  # who still writes is not to be cut off
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join)
        return path

    def failure(self, *says: bytes) -> RackferryError:
        return self.assertRaises(RackferryError, ask, self.daemon(*says), STATUS)

    def test_what_is_asked_is_amp(self) -> None:
        """The question and the answer to an item are boxes that AMP itself understands."""
        item = box(_ask="9", _command="AnswerItem", piece="1", is_last="True")
        seen: list[Any] = []
        self.assertEqual(ask(self.daemon(item, box(**WHOLE)), STATUS, seen.append), {})
        self.assertEqual(seen, [1])
        (asked,) = amp.parseString(self.heard[0])
        self.assertEqual((asked[b"_command"], asked[b"_ask"]), (b"Ask", b"1"))
        self.assertEqual(json.loads(asked[b"question"])["noun"], "status")
        (answered,) = amp.parseString(self.heard[1])
        self.assertEqual(dict(answered), {b"_answer": b"9"})

    def test_names_are_those_of_the_wire(self) -> None:
        """The commands and their keys are the ones that the daemon declares."""
        said = {command.__name__: {name.decode() for name, _ in command.arguments}
                for command in (Ask, ReadAnswer, ReadBlob, AnswerItem, AnswerProgress, ReadBundle)}  # fmt: skip
        self.assertEqual(
            said,
            {
                "Ask": {"question"},
                "ReadAnswer": {"ticket", "offset"},
                "ReadBlob": {"sha256", "of_digests", "offset", "length"},
                "AnswerItem": {"piece", "is_last"},
                "AnswerProgress": {"progress"},
                "ReadBundle": {"path", "offset", "length"},
            },
        )

    def test_answers_may_overtake_each_other(self) -> None:
        """Each answer goes to what it answers, an error too; the others wait."""
        early = box(_error="2", _error_code="NOT_FOUND", _error_description="no")
        here, there = socket.socketpair()
        with here, there, here.makefile("rb") as incoming:
            line = Line(here, incoming, lambda _: None, lambda *_: (b"", 0))
            first, second = line.begin(b"A"), line.begin(b"B")
            there.sendall(early + box(_answer="1", x="1"))
            self.assertEqual(line.answer(first)[b"x"], b"1")
            self.assertRaises(NotFound, line.answer, second)

    def test_what_the_daemon_reads(self) -> None:
        """It gets the piece and the size, or the reason, as AMP understands them."""
        wish = {"_command": "ReadBundle", "offset": "3", "length": "2"}
        path = self.daemon(
            box(_ask="7", path="a", **wish), box(_ask="8", path="b", **wish), box(**WHOLE)
        )

        def give(path: str, offset: int, length: int) -> tuple[bytes, int]:
            if path == "b":
                raise NotFound("is missing", object=path, code="c")
            return b"x" * length, offset

        with connected(path, give=give) as line:
            self.assertEqual(line.answer_to(STATUS), {})
        (given,), (refused,) = map(amp.parseString, self.heard[1:])
        self.assertEqual(dict(given), {b"_answer": b"7", b"piece": b"xx", b"size_bytes": b"3"})
        self.assertEqual((refused[b"_error"], refused[b"_error_code"]), (b"8", b"NOT_FOUND"))
        self.assertEqual(json.loads(refused[b"_error_description"])["object"], "b")

    def test_nothing_was_given(self) -> None:
        """A daemon that reads without having been given a file is told so."""
        path = self.daemon(
            box(_command="ReadBundle", _ask="7", path="/etc/shadow", offset="0", length="9"),
            box(**WHOLE),
        )
        self.assertEqual(ask(path, STATUS), {})
        (refused,) = amp.parseString(self.heard[1])
        self.assertEqual(refused[b"_error_code"], b"NOT_FOUND")

    def test_an_error_comes_back_as_it_was(self) -> None:
        """Family, code, object, message and remedy."""
        error = Conflict("runs already", object="import", code="x", remedy="wait")
        text = packed(error).message
        found = self.failure(box(_error="1", _error_code="CONFLICT", _error_description=text))
        self.assertIsInstance(found, Conflict)
        self.assertEqual(found.to_json(), error.to_json())

    def test_a_daemon_that_goes_away(self) -> None:
        """Before, in the middle of, or between boxes: no daemon answers."""
        for said in ((), (b"",), (box(**WHOLE)[:9],), (box(**{**WHOLE, "size_bytes": "3"}),)):
            self.assertIsInstance(self.failure(*said), NoDaemon)

    def test_boxes_that_are_no_answer(self) -> None:
        """They end the question with an error of the protocol."""
        for said in (
            box(_command="Hello", _ask="1"),
            box(_answer="7", piece="{}", size_bytes="2", ticket="0"),
            box(_error="1", _error_code="UNKNOWN", _error_description="?"),
            b"\xff\xff" + b"x" * 0xFFFF + b"\0\0\0\0",
        ):
            self.assertIsInstance(self.failure(said), ProtocolError)

    def test_silence_is_a_time_out(self) -> None:
        """A daemon that says nothing in time is named."""
        path = str(fresh_directory(self) / "s")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(path)
            listening.listen()
            error = self.assertRaises(TimedOut, ask, path, STATUS, timeout_s=0.01)
        self.assertEqual(error.object, path)

    def test_not_for_this_user(self) -> None:
        """Who may not use the socket is told that, not that no daemon runs."""

        class Closed(socket.socket):
            def connect(self, _: object) -> None:
                raise PermissionError(errno.EACCES, "no")

        self.patch(line.socket, "socket", Closed)
        error = self.assertRaises(Refused, ask, "/s", STATUS)
        self.assertIn("sudo", error.remedy)

    def test_a_path_that_is_none(self) -> None:
        """A path that is longer than the system allows is no daemon, and no traceback."""
        self.assertRaises(NoDaemon, ask, "/x" * 200, STATUS)

    def test_what_to_start(self) -> None:
        """A rack's socket speaks of rackd, the region's of regiond, and any other of both."""
        both = "whatever serves /x/s: systemctl status regiond; on a rack: systemctl status rackd"
        for path, said in (
            ("/no/run/rackd/admin.sock", "start it: systemctl start rackd"),
            (
                "/no/run/regiond/admin.sock",
                "systemctl start regiond; on a rack: --socket /run/rackd",
            ),
            ("/x/s", both),
        ):
            self.assertIn(said, self.assertRaises(NoDaemon, ask, path, STATUS).remedy)

    def test_too_much_to_ask(self) -> None:
        """More than a box can hold is refused here."""
        question = Question("boot-sources", "create", (), {"keyring_data": "x" * 70_000})
        error = self.assertRaises(WrongUsage, ask, self.daemon(), question)
        self.assertIn("too many", error.message)
        self.assertEqual(error.object, "keyring_data=")
        self.assertIn("47 KiB", error.remedy)
        whole = base64.b64encode(bytes(MOST_FILE_BYTES)).decode()
        question = Question("boot-resource", "check-network", ("1" * 20,), {"config": whole})
        self.assertEqual(ask(self.daemon(box(**WHOLE)), question), {})

    def test_what_the_listener_raises_ends_it(self) -> None:
        """A reader that is gone is the asker's own trouble."""
        progress = box(_command="AnswerProgress", progress="{}")
        self.assertRaises(BrokenPipeError, ask, self.daemon(progress), STATUS, _gone)


def _gone(_: object) -> None:
    raise BrokenPipeError
