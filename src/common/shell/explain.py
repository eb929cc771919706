"""The help texts, made from the table of words, in 80 columns (pure)."""

import textwrap
from collections.abc import Iterable, Iterator

from common.shell.grammar import NOUNS, verbs_of
from common.shell.wrong_words import key_text, with_ids
from common.vocabulary import BY_NAME, FLAGS, OPTIONS, Answer, Kind, Parameter, Place, Verb

USAGE = "rackferry [options] NOUN VERB [ID...] [key=value | key@=file | flag ...]"

_WIDTH = 79  # of 80: some terminals break the line after the last column
_WORDS_WIDTH = 40
_KEYS_WIDTH = 28
_LONGEST_FORM = 60
_FORMS = {
    Kind.TEXT: "TEXT",
    Kind.INTEGER: "NUMBER",
    Kind.BOOLEAN: "true|false",
    Kind.LIST: "A,B,...",
    Kind.BYTES: "FILE",
    Kind.DURATION: "90s|10m|2h",
    Kind.FILE: "FILE",
}


def explain(topic: tuple[str, ...]) -> str:
    """Help for nothing in particular, a noun, or a noun and a verb."""
    if not topic:
        return _overview()
    verbs = verbs_of(topic[0]) if len(topic) == 1 else (BY_NAME[topic[0], topic[1]],)
    return "\n\n".join(_verb_help(verb) for verb in verbs) + "\n"


def key_form(parameter: Parameter) -> str:
    """A key and what it takes: ``priority=NUMBER``, ``type=synced|uploaded|all``."""
    form = "|".join(parameter.choices)
    if not 0 < len(form) <= _LONGEST_FORM:
        form = _FORMS[parameter.kind]
    return f"{key_text(parameter)}{form}"


def keys_and_flags(verb: Verb) -> Iterator[tuple[str, str]]:
    """What may follow the ids, each with what it means."""
    for each in verb.parameters:
        yield key_form(each), f"{each.help} (required)" if each.required else each.help
    if verb.open_keys is not None:
        form = "FILE" if verb.open_keys.kind is Kind.BYTES else "VALUE"
        yield f"{key_text(verb.open_keys)}{form}", verb.open_keys.help
    for flag in verb.flags:
        yield flag, FLAGS[flag]


def answered_by(verb: Verb) -> str:
    """Who answers, in words."""
    if Place.LOCAL in verb.places:
        return "the shell itself"
    return " and ".join(sorted(f"a {place.value}" for place in verb.places))


def json_form(verb: Verb) -> str:
    """What ``--json`` gives, in words."""
    return {Answer.ROWS: "array", Answer.OBJECT: "object", Answer.BOOLEAN: "true or false"}[
        verb.answer
    ]


def pasteable(verb: Verb, width: int) -> list[str]:
    """The example, on as many lines as it takes; a shell joins them."""
    *begun, last = _wrapped(f"rackferry {verb.example_line}", "", width - 2)
    return [*(f"{line} \\" for line in begun), last]


def _overview() -> str:
    lines = [f"usage: {USAGE}", "", "Without a noun: an interactive prompt.", ""]
    for noun in NOUNS:
        lines += _columns(((with_ids(verb), verb.help) for verb in verbs_of(noun)), _WORDS_WIDTH)
    lines += ["", "options, anywhere on the line:", *_columns(OPTIONS.items(), _KEYS_WIDTH), ""]
    lines += ["rackferry help NOUN [VERB] explains keys and flags, with an example."]
    return "\n".join(lines) + "\n"


def _verb_help(verb: Verb) -> str:
    first, *more = pasteable(verb, _WIDTH - len("  example: "))
    lines = [f"rackferry {with_ids(verb)}", *_wrapped(verb.help)]
    lines += _columns(keys_and_flags(verb), _KEYS_WIDTH)
    lines += [
        *_wrapped(f"answered by: {answered_by(verb)}; JSON: {json_form(verb)}"),
        f"  example: {first}",
        *(f"  {line}" for line in more),
    ]
    return "\n".join(lines)


def _wrapped(text: str, indent: str = "  ", width: int = _WIDTH) -> list[str]:
    wrapper = textwrap.TextWrapper(
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapper.wrap(text)


def _columns(rows: Iterable[tuple[str, str]], left_width: int) -> list[str]:
    lines: list[str] = []
    for left, right in rows:
        first, *more = textwrap.wrap(right, _WIDTH - left_width - 3, break_on_hyphens=False)
        if len(left) > left_width:
            lines.append(f"  {left}")
            left = ""  # noqa: PLW2901  (its line is written)
        lines.append(f"  {left:<{left_width}} {first}")
        lines += [" " * (left_width + 3) + each for each in more]
    return lines
