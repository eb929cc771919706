"""The words by which images are carried on a disk: the shell has part in the work."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from common.shell.bundle_files import BundleReader
from common.shell.export import export
from common.shell.line import GRACE_S, Tell, connected
from common.shell.rejoining import ask_and_rejoin
from common.verbs import TIMEOUT
from common.vocabulary import Question


def carry(socket_path: str, question: Question, tell: Tell) -> Mapping[str, Any]:
    """Carry out such a word; see ``common.shell.line.ask``."""
    if question.verb == "export":
        return export(socket_path, question, tell)
    return import_bundle(socket_path, question, tell)


def import_bundle(
    socket_path: str,
    question: Question,
    tell: Tell,
    *,
    wait: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Mapping[str, Any]:
    """Let a region read a bundle; again when it is back, if it is restarted meanwhile.

    Raises:
        WrongUsage: code ``bundle-none``.
        NoDaemon: no region is there, or it stayed away for too long.
        RackferryError: what the region says, or what is wrong with the bundle.
    """
    place = Path(question.ids[0])
    named = attrs.evolve(question, ids=(str(place.absolute()),))
    with BundleReader(place) as bundle:

        def once(path: str, asked: Question, tell: Tell) -> Any:
            time_s = asked.parameters.get(TIMEOUT.name)
            limit_s = time_s + GRACE_S if isinstance(time_s, int) else None
            with connected(path, tell, bundle.give, timeout_s=limit_s) as line:
                return line.answer_to(asked)

        answer: Mapping[str, Any] = ask_and_rejoin(
            once, socket_path, named, tell, wait=wait, now=now, is_waiting=True
        )
    return answer
