"""JSON from strangers: bounded, without doubt about its meaning (pure).

Two readers of one text must not see two documents, so duplicate keys and ``NaN`` are
refused rather than settled. Limits are those of the design; they are checked before
anything looks at what the document says.
"""

import json
from typing import Any, NoReturn

from common.errors import SourceError

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 32

_CONTAINERS = {dict, list}  # exactly these, as the decoder makes them

_REMEDY = "ask whoever publishes the source; the last good state is kept"


class _DuplicateKeyError(ValueError):
    pass


def fault(reason: str, code: str, path: str) -> SourceError:
    """A fault of the whole document at ``path``."""
    return SourceError(reason, object=path, code=f"document-{code}", remedy=_REMEDY)


def parse_json(payload: bytes, path: str) -> dict[str, Any]:
    """The object that a document holds.

    Args:
        payload: the signed text, as GnuPG gave it back.
        path: the document's path, for messages.

    Raises:
        SourceError: ``document-too-large``, ``document-truncated`` (the text ends too
            early), ``document-malformed``, ``document-duplicate-key``, ``document-nesting``.
    """
    if len(payload) > MAX_DOCUMENT_BYTES:
        limit_mib = MAX_DOCUMENT_BYTES >> 20
        raise fault(f"the document is larger than {limit_mib} MiB", "too-large", path)
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 at byte {error.start}"
        raise fault(f"the document is {reason}", "malformed", path) from error
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except _DuplicateKeyError as error:
        raise fault(f"the key {error.args[0]!r} occurs twice", "duplicate-key", path) from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        if not text[error.pos :].strip() or error.msg.startswith("Unterminated"):
            raise fault(f"the JSON ends too early, at {where}", "truncated", path) from error
        raise fault(f"not JSON: {error.msg} at {where}", "malformed", path) from error
    except RecursionError as error:
        raise fault(f"nested deeper than {MAX_DEPTH}", "nesting", path) from error
    except ValueError as error:
        raise fault(f"not JSON: {error}", "malformed", path) from error
    if not isinstance(value, dict):
        raise fault("the document is not a JSON object", "malformed", path)
    if _is_deeper(value, MAX_DEPTH):
        raise fault(f"nested deeper than {MAX_DEPTH}", "nesting", path)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKeyError(key)
            seen.add(key)
    return found


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON number")


def _is_deeper(value: dict[str, Any], limit: int) -> bool:
    """Whether objects and arrays are nested more than ``limit`` deep, level by level."""
    level: list[Any] = [value]
    for _ in range(limit):
        level = [
            child
            for container in level
            for child in (container.values() if type(container) is dict else container)
            if type(child) in _CONTAINERS
        ]
        if not level:
            return False
    return True
