"""The words by which images are carried on a disk: the shell has part in the work."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from common.shell.bundle_files import BundleReader
from common.shell.export import export
from common.shell.line import Tell, connected
from common.vocabulary import Question


def carry(socket_path: str, question: Question, tell: Tell) -> Mapping[str, Any]:
    """Carry out such a word; see ``common.shell.line.ask``."""
    if question.verb == "export":
        return export(socket_path, question, tell)
    return import_bundle(socket_path, question, tell)


def import_bundle(socket_path: str, question: Question, tell: Tell) -> Mapping[str, Any]:
    """Let a region read a bundle.

    Raises:
        WrongUsage: code ``bundle-none``.
        RackferryError: what the region says, or what is wrong with the bundle.
    """
    place = Path(question.ids[0])
    named = attrs.evolve(question, ids=(str(place.absolute()),))
    with (
        BundleReader(place) as bundle,
        connected(socket_path, tell, bundle.give, timeout_s=None) as line,
    ):
        answer: Mapping[str, Any] = line.answer_to(named)
    return answer
