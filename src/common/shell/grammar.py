"""What was typed, as a question or a wish of the shell itself (pure).

    rackferry [options] NOUN VERB [ID...] [key=value | key@=file | flag ...]

The words are those of ``common.vocabulary``; nothing is known here that is not in that
table. Options may stand anywhere. ``maas PROFILE`` in front is swallowed and answered as
MAAS does (``common.shell.maas``), so that scripts written for its command line run.
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence

import attrs

from common.durations import seconds_of
from common.errors import WrongUsage
from common.questions import is_base64
from common.shell import maas_words
from common.shell.wrong_words import (
    unexpected,
    unknown,
    unknown_key,
    unknown_noun,
    unknown_option,
)
from common.vocabulary import BY_NAME, Kind, Parameter, Place, Question, Value, Verb

REGION_SOCKET = "/run/regiond/admin.sock"
SOCKET_VARIABLE = "RACKFERRY_SOCKET"
NOUNS = tuple(dict.fromkeys(noun for noun, _ in BY_NAME))

Table = Mapping[tuple[str, str], Verb]

_KEY_VALUE = re.compile(r"([A-Za-z_][\w-]*)(@?)=(.*)", re.DOTALL)
_TRUTHS = {"true": True, "yes": True, "on": True, "1": True} | {
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


@attrs.frozen
class Invocation:
    """One command line.

    Attributes:
        verb: what was asked; None for an empty line, help or the version.
        question: the same for a daemon; keys with files hold their content.
        files: ``key@=FILE`` of a local verb, or of one that sends it: the paths, unread
            (images are big).
        topic: words to explain; None unless help was asked for.
        socket: the admin socket to use; "" for the default one.
        is_maas: whether the answer is to be MAAS's.
        note: all there is to say (on stderr) to a line that asks for nothing.
    """

    verb: Verb | None = None
    question: Question | None = None
    files: Mapping[str, str] = attrs.field(factory=dict)
    topic: tuple[str, ...] | None = None
    socket: str = ""
    is_json: bool = False
    is_version: bool = False
    is_maas: bool = False
    note: str = ""


def verbs_of(noun: str, table: Table = BY_NAME) -> tuple[Verb, ...]:
    """The verbs of a noun, in the order of the table."""
    return tuple(verb for (of, _), verb in table.items() if of == noun)


def which_socket(chosen: str, environ: Mapping[str, str]) -> str:
    """The admin socket to ask: the option's, the variable's, or the region's usual one."""
    return chosen or environ.get(SOCKET_VARIABLE) or REGION_SOCKET


def parse(words: Sequence[str], read_file: Callable[[str], bytes]) -> Invocation:
    """Understand a command line (without the program's name).

    Raises:
        WrongUsage: with the nearest right word.
    """
    options, rest = _options(words)
    table: Table = BY_NAME
    if rest[:1] == ["maas"] and not options.is_version:
        note = maas_words.answer_without_profile(rest[1:])
        if note:
            return attrs.evolve(options, note=note)
        if len(rest) < 2:
            raise WrongUsage("maas needs a profile", remedy="rackferry maas PROFILE NOUN VERB")
        table, rest = maas_words.TABLE, maas_words.translated(rest[2:])
        options = attrs.evolve(options, is_maas=True)
    if options.is_version:
        return options
    if rest[:1] == ["help"]:
        return attrs.evolve(options, topic=_topic(rest[1:], is_exact=True))
    if options.topic is not None:
        return attrs.evolve(options, topic=_topic(rest[:2], is_exact=False))
    if not rest:
        return options
    verb, after = _verb(rest, table)
    return _question(options, verb, after, read_file)


def is_empty(words: Sequence[str]) -> bool:
    """Whether nothing is asked, so that a prompt is wanted.

    Raises:
        WrongUsage: an option is unknown or lacks its value.
    """
    options, rest = _options(words)
    return not rest and options.topic is None and not options.is_version


def _options(words: Sequence[str]) -> tuple[Invocation, list[str]]:
    found, rest = Invocation(), []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        name, has_value, value = word.partition("=")
        if word == "--":
            rest += queue
            break
        if name == "--socket":
            path = value if has_value or not queue else queue.pop(0)
            if not path:
                raise WrongUsage("needs a path", object="--socket")
            found = attrs.evolve(found, socket=path)
        elif word == "--json":
            found = attrs.evolve(found, is_json=True)
        elif word in {"--help", "-h"}:
            found = attrs.evolve(found, topic=())
        elif word == "--version":
            found = attrs.evolve(found, is_version=True)
        elif maas_words.is_ignored(name, rest):
            continue
        elif word.startswith("-") and word != "-":
            raise unknown_option(name)
        else:
            rest.append(word)
    return found, rest


def _topic(words: Sequence[str], *, is_exact: bool) -> tuple[str, ...]:
    """The noun, or noun and verb; ``is_exact`` if all the words were to be explained."""
    if not words or words[0] == "help":
        return ()
    noun, *rest = words
    if noun not in NOUNS:
        raise unknown_noun(noun, BY_NAME.values())
    verbs = [verb.verb for verb in verbs_of(noun) if verb.verb]
    known = 2 if verbs and rest else 1
    if is_exact and known == 2 and rest[0] not in verbs:
        raise unknown("verb", f"{noun} {rest[0]}", [f"{noun} {verb}" for verb in verbs])
    if is_exact and len(words) > known:
        raise unknown("word", words[known], (), f"rackferry help {' '.join(words[:known])}")
    return tuple(words[:2]) if rest[:1] and rest[0] in verbs else (noun,)


def _verb(words: list[str], table: Table) -> tuple[Verb, list[str]]:
    noun, *rest = words
    verbs = {verb.verb: verb for verb in verbs_of(noun, table)}
    if not verbs:
        raise unknown_noun(noun, table.values())
    if "" in verbs:
        return verbs[""], rest
    if not rest:
        raise WrongUsage(
            f"needs a verb: {', '.join(verbs)}",
            object=noun,
            remedy=f"rackferry {noun} --help explains them",
        )
    if rest[0] not in verbs:
        phrases = [verb.phrase for verb in table.values()]
        raise unknown("verb", f"{noun} {rest[0]}", phrases)
    return verbs[rest[0]], rest[1:]


def _question(
    options: Invocation, verb: Verb, words: Sequence[str], read_file: Callable[[str], bytes]
) -> Invocation:
    plain: list[str] = []
    values: dict[str, Value] = {}
    files: dict[str, str] = {}
    for word in words:
        match = _KEY_VALUE.fullmatch(word)
        if match is None:
            plain.append(word)
            continue
        key, is_file, text = match.groups()
        parameter = _parameter(verb, key)
        if parameter.kind is Kind.FILE and not is_file:
            raise WrongUsage("is a file", object=key, remedy=f"write {key}@=FILE")
        if is_file and (parameter.kind is Kind.FILE or verb.places == frozenset({Place.LOCAL})):
            if key in files:
                raise WrongUsage("is given twice", object=key)
            files[key] = text
            continue
        value = _file(parameter, read_file(text)) if is_file else _value(parameter, text)
        values[key] = _joined(values, key, value)
    ids, flags = _ids_and_flags(verb, plain)
    missing = [p.name for p in verb.parameters if p.required and p.name not in {*values, *files}]
    if missing:
        raise WrongUsage(
            f"needs {', '.join(f'{name}=' for name in missing)}",
            object=verb.phrase,
            remedy=f"for example: rackferry {verb.example_line}",
        )
    question = Question(verb.noun, verb.verb, ids, values, flags)
    return attrs.evolve(options, verb=verb, question=question, files=files)


def _parameter(verb: Verb, key: str) -> Parameter:
    for parameter in verb.parameters:
        if parameter.name == key:
            return parameter
    if verb.open_keys is not None:
        return attrs.evolve(verb.open_keys, name=key, choices=())
    raise unknown_key(verb, key)


def _file(parameter: Parameter, content: bytes) -> Value:
    if parameter.kind is Kind.BYTES:
        return base64.b64encode(content).decode("ascii")
    try:
        return _value(parameter, content.decode("utf-8").strip())
    except UnicodeDecodeError:
        raise WrongUsage("is to be text", object=parameter.name) from None


def _items(name: str, text: str) -> list[str]:
    items = [item for item in text.split(",") if item]
    if text and not items:  # $A,$B that nobody set; an empty list may mean a lot
        raise WrongUsage(
            "has commas and no value", object=name, remedy=f"{name}= alone is an empty list"
        )
    return items


def _value(parameter: Parameter, text: str) -> Value:
    name = parameter.name
    match parameter.kind:
        case Kind.LIST:
            return _items(name, text)
        case Kind.INTEGER if re.fullmatch(r"-?[0-9]{1,18}", text):
            return int(text)
        case Kind.INTEGER:
            raise WrongUsage(f'is to be a whole number, not "{text}"', object=name)
        case Kind.BOOLEAN if text.lower() in _TRUTHS:
            return _TRUTHS[text.lower()]
        case Kind.BOOLEAN:
            raise WrongUsage(f'is to be true or false, not "{text}"', object=name)
        case Kind.BYTES if is_base64(text):
            return text
        case Kind.BYTES:
            raise WrongUsage(
                "is read from a file, or is base64",
                object=name,
                remedy=f"write {name}@=FILE",
            )
        case Kind.DURATION:
            return seconds_of(text, name)
        case _ if parameter.choices and text not in parameter.choices:
            there_are = f"there are: {', '.join(parameter.choices)}"
            raise unknown(f"value of {name}=", text, parameter.choices, there_are)
        case _:
            return text


def _joined(values: Mapping[str, Value], key: str, value: Value) -> Value:
    before = values.get(key)
    if before is None:
        return value
    if isinstance(before, list) and isinstance(value, list):
        return before + value
    raise WrongUsage("is given twice", object=key)


def _ids_and_flags(verb: Verb, words: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    needed = len(verb.ids)
    if len(words) < needed:
        wanted = " ".join(name.upper() for name in verb.ids)
        raise WrongUsage(
            f"needs {wanted}",
            object=verb.phrase,
            remedy=f"for example: rackferry {verb.example_line}",
        )
    ids, rest = words[:needed], words[needed:]
    for _ in verb.optional_ids:
        if rest and rest[0] not in verb.flags:
            ids.append(rest.pop(0))
    if "" in ids:
        raise WrongUsage("an id is empty", object=verb.phrase)
    for flag in rest:
        if flag not in verb.flags:
            raise unexpected(verb, flag)
    return tuple(ids), tuple(dict.fromkeys(rest))
