"""What is kept of a change that somebody asked for: who, what, and what became of it (pure).

Secrets are left out: of files and of what is marked as secret only the size is told, and a
URL loses user, password and query.
"""

import base64
import re

from common.events import Event, Severity
from common.vocabulary import BY_NAME, Kind, Parameter, Question, Value

_MOST_OF_A_VALUE = 200
_MOST_OF_ALL = 2000
_USER = re.compile(r"(\w+://)?\S*@")
_QUERY = re.compile(r"(://[^\s?]*)\?\S*")


def change_event(question: Question, outcome: str) -> Event:
    """The event of a question that changes something.

    Args:
        question: what was asked, and by whom.
        outcome: "begun", "done", or why it failed.
    """
    who = question.asker or "somebody"
    cause = f"{who}: {_asked(question)}: {_without_secrets(outcome)}"
    about = " ".join((question.noun, *question.ids))
    return Event("admin-change", Severity.INFO, _short(about), _short(cause, _MOST_OF_ALL))


def _asked(question: Question) -> str:
    """What was asked, as it could be typed."""
    verb = BY_NAME[question.noun, question.verb]
    known = {parameter.name: parameter for parameter in verb.parameters}
    values = [
        f"{name}={_shown(known.get(name), value)}" for name, value in question.parameters.items()
    ]
    words = (question.noun, question.verb, *question.ids, *values, *question.flags)
    return " ".join(filter(None, words))


def _shown(parameter: Parameter | None, value: Value) -> str:
    """A value, if it may be told; a parameter that is not known has an open key."""
    if parameter is not None and parameter.kind is Kind.BYTES:
        return f"({len(base64.b64decode(str(value)))} bytes)"
    if parameter is not None and parameter.is_secret:
        return f"({len(str(value))} characters)"
    if isinstance(value, bool):
        return str(value).lower()
    text = ",".join(value) if isinstance(value, list) else str(value)
    return _short(_without_secrets(text))


def _without_secrets(text: str) -> str:
    return _QUERY.sub(r"\1?***", _USER.sub(r"\1***@", text))


def _short(text: str, most: int = _MOST_OF_A_VALUE) -> str:
    """One line that a database and a terminal can take."""
    text = "".join(char if char.isprintable() else "�" for char in text)
    return text if len(text) <= most else f"{text[: most - 3]}..."
