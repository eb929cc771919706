"""Canonical JSON, and strict typed reading of it (pure).

Documents that are named by their SHA-256 (views, image documents) are written as
``json.dumps(sort_keys=True, separators=(",", ":"))`` in ASCII, so that the same value
always has the same name. Reading is strict: a wrong type is an error, never coerced.
Unknown keys are ignored, so that a newer region can say more to an older rack.
"""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import cattrs
from cattrs import transform_error
from cattrs.preconf.json import make_converter

from common.errors import ProtocolError

T = TypeVar("T")


def _strict(kind: type[Any]) -> Any:
    def read(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"expected {kind.__name__}, not {type(value).__name__}")
        return value

    return read


def strict_converter(*, forbid_extra_keys: bool = False) -> cattrs.Converter:
    """A cattrs converter that reads ``int``, ``str``, ``bool`` and ``float`` as written."""
    converter = make_converter(forbid_extra_keys=forbid_extra_keys)
    for kind in (int, str, bool, float):
        converter.register_structure_hook(kind, _strict(kind))
    return converter


_CONVERTER = strict_converter()


def plain(value: object) -> Any:
    """Values as what JSON knows: dicts, lists, strings, numbers, booleans, null."""
    return _CONVERTER.unstructure(value)


def canonical_json(value: object) -> bytes:
    """The one way to write ``value``."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":")).encode("ascii")


def lined_json(document: Mapping[str, Any]) -> bytes:
    """A document to be clear-signed: one tag to a line, sorted.

    GnuPG cuts the lines of a clear-signed text at 20,000 bytes.
    """
    return json.dumps(document, indent=1, sort_keys=True).encode("ascii") + b"\n"


def typed(kind: type[T], value: Any, what: str) -> T:
    """``value`` (from JSON) as a ``kind``.

    Raises:
        ProtocolError: naming ``what`` and the path of the first wrong field.
    """
    try:
        return _CONVERTER.structure(value, kind)
    except Exception as error:
        reasons = transform_error(error, path="$")
        raise ProtocolError(f"not a valid {what}: {reasons[0]}", object=what) from error


def parse(kind: type[T], document: bytes, what: str) -> T:
    """A JSON document as a ``kind``.

    Raises:
        ProtocolError: not JSON, or not a ``kind``.
    """
    try:
        value = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not a valid {what}: {error}", object=what) from error
    return typed(kind, value, what)
