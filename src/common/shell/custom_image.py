"""``boot-resources create``: the file is looked at, named, sent, and then asked to be an image.

What the region would refuse it says before anything is read or sent. The same line again
goes on with what was sent, and is harmless if all of it was.
"""

import hashlib
import os
import stat
import time
from collections.abc import Callable
from typing import Any, BinaryIO

import attrs

from common.errors import IntegrityError, NoDaemon, TimedOut, WrongUsage
from common.file_types import HEAD_BYTES, check_content
from common.shell.line import Tell
from common.shell.upload import PATIENCE_S, Upload
from common.verbs import TIMEOUT
from common.vocabulary import BlobName, Question

DEFAULT_FILE_TYPE = "tgz"

_READ_BYTES = 1 << 20
_TELL_EACH_BYTES = 64 << 20
_PAUSE_S = 0.5

Ask = Callable[[Question], Any]
Send = Callable[[BinaryIO, BlobName], None]


def create(socket_path: str, ask: Ask, question: Question, path: str, tell: Tell) -> Any:
    """Send a file and make an image of it; the region's answer.

    Args:
        socket_path: the region's admin socket.
        ask: asks the region.
        question: what was typed, without the file.
        path: the file.
        tell: called with how far it is.

    Raises:
        WrongUsage: the file cannot be sent, or is no such file.
        IntegrityError: code ``custom-sha256``; it is not what ``sha256=`` says.
        RackferryError: what the region says.
    """

    def send(file: BinaryIO, content: BlobName) -> None:
        Upload(socket_path, file, content.sha256, content.size_bytes, tell).run()

    return create_by(ask, send, question, path, tell)


def create_by(
    ask: Ask,
    send: Send,
    question: Question,
    path: str,
    tell: Tell,
    *,
    now: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> Any:
    """As ``create``, with what talks to the region, and time (seconds), given."""
    given = dict(question.parameters)
    tell = _until(tell, given.pop(TIMEOUT.name, None), path, now)
    flags = tuple(dict.fromkeys((*question.flags, "check")))
    checking = attrs.evolve(question, flags=flags, parameters=given)
    with open_file(path) as file:
        filetype = str(given.get("filetype", DEFAULT_FILE_TYPE))
        check_content(filetype, file.read(HEAD_BYTES), path)
        said = ask(checking)
        if "check" in question.flags:
            return said
        content = named(file, tell)
        _check_promises(given, content, path)
        send(file, content)
    parameters = {**given, "content": str(content)}
    return _patiently(lambda: ask(attrs.evolve(question, parameters=parameters)), tell, now, wait)


def _until(tell: Tell, time_s: object, path: str, now: Callable[[], float]) -> Tell:
    """Tell how far it is, and end it when the time is over: it is told all the while."""
    if not isinstance(time_s, int):
        return tell
    ends_at = now() + time_s

    def tell_in_time(progress: Any) -> None:
        if now() >= ends_at:
            raise TimedOut(
                f"not done within {time_s} s",
                object=path,
                remedy="run the same command again: what was sent is not sent again",
            )
        tell(progress)

    return tell_in_time


def open_file(path: str) -> BinaryIO:
    """The file, to be read from anywhere.

    Raises:
        WrongUsage: it is none that can be read twice.
    """
    if path == "-":
        raise WrongUsage(
            "what comes from a pipe cannot be gone on with after an interruption",
            object="content@=-",
            remedy="write it to a file, and give that",
        )
    try:
        file = open(path, "rb")  # noqa: PTH123, SIM115  (pathlib costs start-up time; the caller closes)
    except OSError as error:
        raise WrongUsage(f"cannot be read: {error.strerror}", object=path) from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise WrongUsage("is no regular file", object=path)
    return file


def named(file: BinaryIO, tell: Tell) -> BlobName:
    """The name and size of what is in a file."""
    size_bytes = os.fstat(file.fileno()).st_size
    sha256, read_bytes = hashlib.sha256(), 0
    file.seek(0)
    while piece := file.read(_READ_BYTES):
        if read_bytes % _TELL_EACH_BYTES == 0:
            tell({"phase": "reading", "fetched_bytes": read_bytes, "total_bytes": size_bytes})
        sha256.update(piece)
        read_bytes += len(piece)
    return BlobName(sha256.hexdigest(), read_bytes)


def _check_promises(given: dict[str, Any], content: BlobName, path: str) -> None:
    for key, found in (("size", content.size_bytes), ("sha256", content.sha256)):
        promised = given.pop(key, found)
        if str(promised).lower() != str(found):
            raise IntegrityError(
                f"has {key} {found}, not {promised}",
                object=path,
                code=f"custom-{key}",
                remedy=f"get the file again, or give the right {key}=",
            )


def _patiently(
    ask: Callable[[], Any], tell: Tell, now: Callable[[], float], wait: Callable[[float], None]
) -> Any:
    """Ask again while the region is away: it may stop between the last byte and the answer."""
    gives_up_at = now() + PATIENCE_S
    while True:
        try:
            return ask()
        except NoDaemon as error:
            if now() > gives_up_at:
                raise
            tell({"phase": "waiting for the region", "object": error.message})
            wait(_PAUSE_S)
