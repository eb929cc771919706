"""The shell's end of the admin socket (the daemon's is ``common.asking``).

A shell asks one thing at a time and waits for it, so it speaks AMP by itself over a plain
blocking socket: importing Twisted takes several times as long as a whole question.

A box is pairs of key and value, each with its length in two bytes before it, and two zero
bytes at its end.
"""

import errno
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import attrs

from common.errors import (
    TABLE,
    NoDaemon,
    NotFound,
    ProtocolError,
    RackferryError,
    Refused,
    TimedOut,
    WrongUsage,
    door_of,
    packed,
    unpacked,
)
from common.verbs import TIMEOUT
from common.vocabulary import Question

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 300.0
GRACE_S = 15.0
"""How much longer a daemon may be silent than the time that a question gives it."""

_WENT_AWAY = "it went away before it had answered"

LOST = "daemon-lost"
"""The code of an error of a daemon that was there and went away."""

_MAX_KEY_BYTES = 255
_MAX_VALUE_BYTES = 65_535
MOST_FILE_BYTES = 47 << 10
"""How much of a file fits into a question: as base64, with some words around it."""
_FAMILIES = {door.amp_code: door.family for door in TABLE}

Tell = Callable[[Any], None]
Give = Callable[[str, int, int], tuple[bytes, int]]
"""Gives a daemon a piece (path, offset, length) of a file, and the file's size."""
Box = dict[bytes, bytes]


def ask(
    socket_path: str,
    question: Question,
    tell: Tell = lambda _: None,
    *,
    timeout_s: float = ANSWER_TIMEOUT_S,
) -> Any:
    """Ask a daemon; returns the answer as JSON values.

    Args:
        socket_path: the daemon's admin socket.
        question: what to ask. With the flag ``wait``, or ``follow``, there is no deadline but
            its own ``timeout=``.
        tell: called with what the daemon says meanwhile, and with each item of an answer
            that goes on. What it raises ends the question.
        timeout_s: how long the daemon may be silent otherwise.

    Raises:
        NoDaemon: nobody answers there, or (code ``LOST``) the daemon went away before it
            had answered.
        Refused: code ``socket-permission``; the socket is not for this user.
        TimedOut: no answer in time.
        RackferryError: what the daemon says.
    """
    flags = set(question.flags)
    asked_s = question.parameters.get(TIMEOUT.name)
    if isinstance(asked_s, int):
        timeout_s = asked_s + GRACE_S  # the daemon itself says what was not done in time
    is_endless = bool(flags & {"wait", "follow"}) and not asked_s
    limit_s = None if is_endless else timeout_s
    why = "it has stopped" if "follow" in flags else _WENT_AWAY
    with connected(socket_path, tell, timeout_s=limit_s, lost=why) as line:
        return line.answer_to(question)


@contextmanager
def connected(
    socket_path: str,
    tell: Tell = lambda _: None,
    give: Give | None = None,
    *,
    timeout_s: float | None = ANSWER_TIMEOUT_S,
    lost: str = _WENT_AWAY,
) -> Iterator["Line"]:
    """A line to a daemon, for more than one question; see ``ask``.

    Args:
        socket_path: the daemon's admin socket.
        tell: called with what the daemon says meanwhile.
        give: gives the daemon what it reads of the files that are asked about.
        timeout_s: how long the daemon may be silent; None: for ever.
        lost: what is said of a daemon that goes away.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(CONNECT_TIMEOUT_S)
        try:
            connection.connect(socket_path)
        except OSError as error:
            raise _unasked(socket_path, error) from error
        connection.settimeout(timeout_s)
        with connection.makefile("rb") as incoming:
            try:
                yield Line(connection, incoming, tell, give or _nothing)
            except _LostError as error:
                raise _no_daemon(socket_path, lost, LOST) from error
            except TimeoutError as error:
                said = f"no answer within {timeout_s:g} s"
                raise TimedOut(said, object=socket_path) from error


def _nothing(path: str, _: int, __: int) -> tuple[bytes, int]:
    raise NotFound("no file was given with this question", object=path)


class _LostError(Exception):
    """The connection is over."""


class Line:
    """AMP over one connection."""

    def __init__(
        self, connection: socket.socket, incoming: BinaryIO, tell: Tell, give: Give
    ) -> None:
        self._connection = connection
        self._incoming = incoming
        self._tell = tell
        self._give = give
        self._pieces = bytearray()
        self._calls = 0
        self._waiting: set[bytes] = set()
        self._early: dict[bytes, Box] = {}

    def answer_to(self, question: Question) -> Any:
        """The whole answer, whose pieces are asked for."""
        text = json.dumps(attrs.asdict(question)).encode("ascii")
        if len(text) > _MAX_VALUE_BYTES:
            raise _too_much(question, len(text))
        first = self.call(b"Ask", question=text)
        answer = bytearray(first[b"piece"])
        while len(answer) < int(first[b"size_bytes"]):
            offset = b"%d" % len(answer)
            rest = self.call(b"ReadAnswer", ticket=first[b"ticket"], offset=offset)
            if not rest[b"piece"]:
                raise ProtocolError("the answer ended early")
            answer += rest[b"piece"]
        return json.loads(answer)

    def begin(self, command: bytes, **arguments: bytes) -> bytes:
        """Say something, whose ``answer`` is read later; gives its tag."""
        self._calls += 1
        tag = b"%x" % self._calls
        named = {name.encode("ascii"): value for name, value in arguments.items()}
        self._send({b"_ask": tag, b"_command": command, **named})
        self._waiting.add(tag)
        return tag

    def answer(self, tag: bytes) -> Box:
        """Wait for the answer to what was said with this tag; raises what the daemon says."""
        while tag not in self._early:
            box = self._receive()
            if b"_command" in box:
                self._hear(box)
                continue
            answered = box.get(b"_answer") or box.get(b"_error", b"")
            if answered not in self._waiting:
                raise _error(box)
            self._waiting.discard(answered)
            self._early[answered] = box
        box = self._early.pop(tag)
        if b"_answer" not in box:
            raise _error(box)
        return box

    def call(self, command: bytes, **arguments: bytes) -> Box:
        """Say something, and wait for the answer."""
        return self.answer(self.begin(command, **arguments))

    def _hear(self, box: Box) -> None:
        """What the daemon says of itself; an item is acknowledged when it was dealt with."""
        match box[b"_command"]:
            case b"AnswerProgress":
                self._tell(json.loads(box[b"progress"]))
            case b"AnswerItem":
                self._pieces += box[b"piece"]
                if box[b"is_last"] == b"True":
                    text = bytes(self._pieces)
                    self._pieces.clear()
                    self._tell(json.loads(text))
            case b"ReadBundle":
                self._send(self._given(box))
                return
            case command:
                raise ProtocolError(f"the daemon says {command!r}, which is not for a shell")
        if b"_ask" in box:
            self._send({b"_answer": box[b"_ask"]})

    def _given(self, asked: Box) -> Box:
        tag = asked[b"_ask"]
        try:
            path = asked[b"path"].decode("utf-8", "replace")
            piece, size_bytes = self._give(path, int(asked[b"offset"]), int(asked[b"length"]))
        except RackferryError as error:
            text = packed(error).message.encode("utf-8")
            code = door_of(error).amp_code
            return {b"_error": tag, b"_error_code": code, b"_error_description": text}
        return {b"_answer": tag, b"piece": piece, b"size_bytes": b"%d" % size_bytes}

    def _send(self, box: Box) -> None:
        parts = [part for pair in box.items() for part in pair]
        text = b"".join(len(part).to_bytes(2) + part for part in parts) + b"\0\0"
        try:
            self._connection.sendall(text)
        except ConnectionError as error:
            raise _LostError from error

    def _receive(self) -> Box:
        box: Box = {}
        while key := self._string():
            if len(key) > _MAX_KEY_BYTES:
                raise ProtocolError(f"a key of {len(key)} bytes")
            box[key] = self._string()
        return box

    def _string(self) -> bytes:
        return self._exactly(int.from_bytes(self._exactly(2)))

    def _exactly(self, size_bytes: int) -> bytes:
        try:
            found = self._incoming.read(size_bytes)
        except ConnectionError as error:
            raise _LostError from error
        if len(found) < size_bytes:
            raise _LostError
        return found


def _error(box: Box) -> RackferryError:
    """What a box that is no answer says."""
    family = _FAMILIES.get(box.get(b"_error_code", b""))
    if family is None:
        return ProtocolError("the daemon gives an answer that is none")
    return unpacked(family(box.get(b"_error_description", b"").decode("utf-8", "replace")))


def _too_much(question: Question, size_bytes: int) -> WrongUsage:
    """What is asked fits into no box: the longest of its values is to blame."""
    given = question.parameters
    longest = max(given, key=lambda name: len(str(given[name])), default="")
    return WrongUsage(
        f"{size_bytes} bytes are too many to be asked at once",
        object=f"{longest}=" if longest else question.noun,
        remedy=f"give less: a file may have {MOST_FILE_BYTES >> 10} KiB",
    )


def _unasked(socket_path: str, error: OSError) -> RackferryError:
    if error.errno in {errno.EACCES, errno.EPERM}:
        return Refused(
            "this user may not ask the daemon",
            object=socket_path,
            code="socket-permission",
            remedy="use sudo, or become a member of the socket's group",
        )
    return _no_daemon(socket_path, os.strerror(error.errno) if error.errno else str(error))


def _no_daemon(socket_path: str, why: str, code: str = "") -> RackferryError:
    return NoDaemon(
        f"no daemon answers: {why}", object=socket_path, code=code, remedy=_to_start(socket_path)
    )


def _to_start(socket_path: str) -> str:
    """What to do about a socket where nobody answers; by its path alone one may know whose it is."""
    if "rackd" in socket_path:
        return "start it: systemctl start rackd"
    if "regiond" in socket_path:
        return "start it: systemctl start regiond; on a rack: --socket /run/rackd/admin.sock"
    return (
        f"start whatever serves {socket_path}: systemctl status regiond; on a rack: systemctl "
        "status rackd"
    )
