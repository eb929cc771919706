"""Checking what is asked of a daemon (pure).

The shell checks before it asks; the daemon checks again, because whoever may write to the
socket need not be our shell. The same table, ``common.vocabulary``, rules both.
"""

import base64
import binascii
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import attrs

from common.durations import LONGEST_S
from common.errors import WrongUsage
from common.vocabulary import BY_NAME, VERBS, BlobName, Kind, Parameter, Place, Question, Verb

_LONGEST_WORD = 80


def check_question(question: Question, place: Place) -> Verb:
    """The verb of a question that this place can answer.

    Raises:
        WrongUsage: naming the wrong word, and the nearest right one.
    """
    verb = BY_NAME.get((question.noun, question.verb))
    if verb is None:
        raise _unknown_words(question, place)
    if place not in verb.places:
        there = " or ".join(sorted(each.value for each in verb.places))
        raise WrongUsage(
            f"a {place.value} does not answer that; ask: {there}",
            object=_words(verb),
            code="wrong-place",
            remedy="choose the daemon with --socket",
        )
    _check_ids(question, verb)
    _check_texts(question, verb)
    known = {parameter.name: parameter for parameter in verb.parameters}
    for name, value in question.parameters.items():
        if name in known:
            _check_value(known[name], value)
        elif verb.open_keys is not None:
            _check_value(attrs.evolve(verb.open_keys, name=name), value)
        else:
            raise _unknown("parameter", name, known)
    # What a file holds comes in its own time: see ``Kind.FILE``.
    missing = [p.name for p in verb.parameters if p.required and p.kind is not Kind.FILE]
    missing = [name for name in missing if question.parameters.get(name, "") == ""]
    if missing:
        raise WrongUsage(
            f"missing: {', '.join(f'{name}=' for name in missing)}",
            object=_words(verb),
            code="missing-parameter",
        )
    for flag in question.flags:
        if flag not in verb.flags:
            raise _unknown("flag", flag, verb.flags)
    if "timeout" in question.parameters and not (verb.takes_time or "wait" in question.flags):
        raise WrongUsage("timeout= is for those who wait", object=_words(verb), remedy="add: wait")
    return verb


def _words(verb: Verb) -> str:
    return f"{verb.noun} {verb.verb}".strip()


def _unknown_words(question: Question, place: Place) -> WrongUsage:
    here = [verb for verb in VERBS if place in verb.places]
    nouns = {verb.noun for verb in here}
    if question.noun not in nouns:
        return _unknown("noun", question.noun, nouns)
    return _unknown("verb", question.verb, {v.verb for v in here if v.noun == question.noun})


def _unknown(what: str, word: str, right: Iterable[str]) -> WrongUsage:
    choices = sorted(filter(None, right))
    near = get_close_matches(word, choices, n=1)
    if near:
        remedy = f'did you mean "{near[0]}"?'
    else:
        remedy = f"there are: {', '.join(choices)}" if choices else "there are none here"
    shown = word[:_LONGEST_WORD]
    return WrongUsage(
        f'unknown {what} "{shown}"', object=shown, code=f"unknown-{what}", remedy=remedy
    )


def _check_ids(question: Question, verb: Verb) -> None:
    least, most = len(verb.ids), len(verb.ids) + len(verb.optional_ids)
    if least <= len(question.ids) <= most:
        return
    names = [*verb.ids, *(f"[{name}]" for name in verb.optional_ids)]
    wanted = " ".join(name.upper() for name in names) or "none"
    raise WrongUsage(
        f"ids wanted: {wanted}; given: {len(question.ids)}", object=_words(verb), code="wrong-ids"
    )


def _check_texts(question: Question, verb: Verb) -> None:
    """Words of a command line may be any bytes, and JSON has more than a database can keep.

    A path of the shell's own is none of the daemon's business.
    """
    words = () if verb.is_carried else question.ids
    for name, value in (*dict.fromkeys(words, "").items(), *question.parameters.items()):
        texts = [name, *value] if isinstance(value, list) else [name, value]
        if not all(_is_text(text) for text in texts if isinstance(text, str)):
            raise WrongUsage(
                "is to be text in UTF-8, without a NUL",
                object=name[:_LONGEST_WORD],
                code="wrong-value",
            )


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _check_value(parameter: Parameter, value: Any) -> None:
    if not _has_kind(parameter.kind, value):
        raise WrongUsage(
            f"{parameter.name} wants {_WANTED[parameter.kind]}",
            object=parameter.name,
            code="wrong-value",
        )


_WANTED = {
    Kind.TEXT: "a text",
    Kind.INTEGER: "a whole number",
    Kind.BOOLEAN: "true or false",
    Kind.LIST: "a list of words",
    Kind.BYTES: "the contents of a file (key@=FILE)",
    Kind.DURATION: "a time in whole seconds, at least one",
    Kind.FILE: "a file that was sent (SHA256:SIZE)",
}


def _has_kind(kind: Kind, value: Any) -> bool:
    match kind:
        case Kind.TEXT:
            return type(value) is str
        case Kind.INTEGER:
            return type(value) is int
        case Kind.BOOLEAN:
            return type(value) is bool
        case Kind.LIST:
            return type(value) is list and all(type(word) is str for word in value)
        case Kind.BYTES | Kind.FILE:
            is_right = is_base64 if kind is Kind.BYTES else is_blob_name
            return type(value) is str and is_right(value)
        case Kind.DURATION:
            return type(value) is int and 0 < value <= LONGEST_S


def is_blob_name(text: str) -> bool:
    """Whether a text is a file, as parameters of that kind cross the socket."""
    try:
        BlobName.parse(text)
    except ValueError:
        return False
    return True


def is_base64(text: str) -> bool:
    """Whether a text is bytes in base64, as parameters of that kind cross the socket."""
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
