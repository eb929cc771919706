"""What may be typed next, from the table of words and from what a daemon knows (pure).

For the prompt and for the completion of bash and zsh alike. What is asked of the world comes
in: rows of a daemon's answers, and the names of files.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs

from common.shell import maas_words
from common.shell.grammar import NOUNS, Table, verbs_of
from common.shell.live_values import (
    PATH,
    Candidate,
    Row,
    Rows,
    kind_of_id,
    live_values,
    setting_values,
)
from common.shell.wrong_words import key_text
from common.vocabulary import BY_NAME, FLAGS, OPTIONS, Kind, Question, Verb

_KEY_VALUE = re.compile(r"([A-Za-z_][\w-]*)(@?)=(.*)", re.DOTALL)
_BOOLEANS = (Candidate("true"), Candidate("false"))

RowsAt = Callable[[str, Question], Sequence[Row]]
Paths = Callable[[str], Iterable[str]]
Candidates = Iterable[Candidate]


@attrs.frozen
class World:
    """What completion asks of the world.

    Attributes:
        rows_at: (admin socket, question) -> rows; "" is the default socket.
        paths: the files and directories whose names begin with a text.
        extra: further first words: what a prompt has of its own.
    """

    rows_at: RowsAt
    paths: Paths
    extra: Mapping[str, str] = attrs.field(factory=dict)


def complete(words: Sequence[str], word: str, world: World) -> list[Candidate]:
    """What ``word`` may become, after ``words`` (without the program's name)."""
    socket, rest = _without_options(words)
    if rest is None:
        found: Candidates = _paths("", word, world)
    elif word.startswith("--socket="):
        found = _paths("--socket=", word.removeprefix("--socket="), world)
    elif word.startswith("-"):
        found = _options()
    else:
        found = _after(rest, word, world, lambda question: world.rows_at(socket, question))
    return [each for each in found if each.text.startswith(word) and each.text.isprintable()]


def _without_options(words: Sequence[str]) -> tuple[str, list[str] | None]:
    """The socket that was chosen, and the other words; None if a socket's path is due."""
    socket = ""
    rest: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if word == "--":
            return socket, rest + queue
        if word == "--socket":
            if not queue:
                return socket, None
            socket = queue.pop(0)
        elif word.startswith("--socket="):
            socket = word.removeprefix("--socket=")
        elif not word.startswith("-"):
            rest.append(word)
    return socket, rest


def _options() -> Candidates:
    for option, meaning in OPTIONS.items():
        name, _, value = option.partition(" ")
        yield Candidate(f"{name}=" if value else name, meaning)


def _after(rest: Sequence[str], word: str, world: World, rows: Rows) -> Candidates:
    table: Table = BY_NAME
    if rest == ["maas"]:
        return []  # any profile will do
    if rest[:1] == ["maas"]:
        table, rest = maas_words.TABLE, rest[2:]
    if not rest:
        nouns = dict.fromkeys(noun for noun, _ in table)
        first = [Candidate(noun, _noun_help(noun, table)) for noun in nouns]
        mine = {"help": "explain a noun or a verb", **world.extra} if table is BY_NAME else {}
        return [*first, *(Candidate(*each) for each in mine.items())]
    if rest[0] == "help":
        return _topics(rest[1:])
    verb = table.get((rest[0], "")) or table.get((rest[0], rest[1] if len(rest) > 1 else ""))
    if verb is not None:
        return _of_verb(verb, rest[2 if verb.verb else 1 :], word, world, rows)
    if len(rest) == 1:
        return [Candidate(verb.verb, verb.help) for verb in verbs_of(rest[0], table)]
    return []


def _noun_help(noun: str, table: Table) -> str:
    verbs = verbs_of(noun, table)
    return ", ".join(verb.verb for verb in verbs) if verbs[0].verb else verbs[0].help


def _topics(words: Sequence[str]) -> list[Candidate]:
    if not words:
        return [Candidate(noun, _noun_help(noun, BY_NAME)) for noun in NOUNS]
    if len(words) > 1:
        return []
    return [Candidate(verb.verb, verb.help) for verb in verbs_of(words[0]) if verb.verb]


def _of_verb(verb: Verb, words: Sequence[str], word: str, world: World, rows: Rows) -> Candidates:
    """What may stand among ids, keys and flags."""
    pairs = [match for match in map(_KEY_VALUE.fullmatch, words) if match]
    plain = [each for each in words if not _KEY_VALUE.fullmatch(each)]
    id_names = (*verb.ids, *verb.optional_ids)
    given = dict(zip(id_names, plain, strict=False)) | {match[1]: match[3] for match in pairs}
    values = _Values(world, given, rows)
    match = _KEY_VALUE.fullmatch(word)
    if match is not None:
        return values.of_key(verb, *match.groups())
    found: list[Candidate] = []
    if len(plain) < len(id_names) and not set(plain) & set(verb.flags):
        found += values.of_kind(kind_of_id(verb, id_names[len(plain)]), word)
    if len(plain) >= len(verb.ids):
        found += [Candidate(flag, FLAGS[flag]) for flag in verb.flags if flag not in plain]
        found += values.keys(verb)
    return found


@attrs.frozen
class _Values:
    """What the ids and keys of one line may be; ``given`` are those that stand there."""

    world: World
    given: Mapping[str, str]
    rows: Rows

    def of_kind(self, kind: str, text: str) -> Candidates:
        if kind == PATH:
            return _paths("", text, self.world)
        return live_values(kind, text, self.given, self.rows)

    def keys(self, verb: Verb) -> Candidates:
        for each in verb.parameters:
            if each.name not in self.given or each.kind is Kind.LIST:
                yield Candidate(key_text(each), each.help)
        further = verb.open_keys
        if further is None:
            return
        named = [Candidate(name, further.help) for name in further.choices]
        for name in (*named, *live_values(further.values, "", self.given, self.rows)):
            if name.text not in self.given:
                yield Candidate(key_text(attrs.evolve(further, name=name.text)), name.help)

    def of_key(self, verb: Verb, key: str, is_file: str, text: str) -> Candidates:
        before = f"{key}{is_file}="
        if is_file:
            return _paths(before, text, self.world)
        parameter = next((each for each in verb.parameters if each.name == key), None)
        if parameter is None:
            is_setting = verb.open_keys is not None and verb.open_keys.values == "setting"
            return _prefixed(before, setting_values(key, self.rows)) if is_setting else []
        if parameter.kind is Kind.BOOLEAN:
            return _prefixed(before, _BOOLEANS)
        if parameter.choices:
            return _prefixed(before, map(Candidate, parameter.choices))
        if parameter.kind is not Kind.LIST:
            return _prefixed(before, self.of_kind(parameter.values, text))
        earlier, comma, text = text.rpartition(",")
        taken = {*earlier.split(","), *self.given.get(key, "").split(",")}
        found = self.of_kind(parameter.values, text)
        free = (each for each in found if each.text not in taken)
        return _prefixed(f"{before}{earlier}{comma}", free)


def _paths(before: str, text: str, world: World) -> Candidates:
    return _prefixed(before, map(Candidate, world.paths(text)))


def _prefixed(before: str, candidates: Candidates) -> Candidates:
    return (attrs.evolve(each, text=f"{before}{each.text}") for each in candidates)
