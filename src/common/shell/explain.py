"""The help texts, made from the table of words (pure)."""

from collections.abc import Iterable

from common.shell.grammar import NOUNS, phrase, verbs_of
from common.vocabulary import BY_NAME, Answer, Kind, Place, Verb

USAGE = "rackferry [options] NOUN VERB [ID...] [key=value | key@=file | flag ...]"

_OPTIONS = (
    ("--socket PATH", "admin socket of the daemon to ask; or set RACKFERRY_SOCKET"),
    ("--json", "answers and errors in JSON"),
    ("--help", "explain a noun or a verb"),
    ("--version", "print the version"),
)
_FORMS = {
    Kind.TEXT: "TEXT",
    Kind.INTEGER: "NUMBER",
    Kind.BOOLEAN: "true|false",
    Kind.LIST: "A,B,...",
    Kind.BYTES: "FILE",
}


def explain(topic: tuple[str, ...]) -> str:
    """Help for nothing in particular, a noun, or a noun and a verb."""
    if not topic:
        return _overview()
    verbs = verbs_of(topic[0]) if len(topic) == 1 else (BY_NAME[topic[0], topic[1]],)
    return "\n\n".join(_verb_help(verb) for verb in verbs) + "\n"


def _overview() -> str:
    lines = [f"usage: {USAGE}", "", "Without a noun: an interactive prompt.", ""]
    for noun in NOUNS:
        rows = ((_with_ids(verb), verb.help) for verb in verbs_of(noun))
        lines += _columns(rows)
    lines += ["", "options, anywhere on the line:"]
    lines += _columns(_OPTIONS)
    lines += ["", "rackferry NOUN VERB --help explains keys and flags."]
    return "\n".join(lines) + "\n"


def _with_ids(verb: Verb) -> str:
    ids = [name.upper() for name in verb.ids] + [f"[{name.upper()}]" for name in verb.optional_ids]
    return " ".join((phrase(verb), *ids))


def _verb_help(verb: Verb) -> str:
    lines = [f"rackferry {_with_ids(verb)}", f"  {verb.help}"]
    lines += _columns(
        (
            f"  {p.name}{'@' if p.kind is Kind.BYTES else ''}={_FORMS[p.kind]}",
            f"{p.help} (required)" if p.required else p.help,
        )
        for p in (*verb.parameters, *filter(None, (verb.open_keys,)))
    )
    lines += [f"    flag: {flag}" for flag in verb.flags]
    lines.append(f"  answered by: {_who(verb)}; JSON: {_json_form(verb)}")
    return "\n".join(lines)


def _who(verb: Verb) -> str:
    if Place.LOCAL in verb.places:
        return "the shell itself"
    return " and ".join(sorted(f"a {place.value}" for place in verb.places))


def _json_form(verb: Verb) -> str:
    return {Answer.ROWS: "array", Answer.OBJECT: "object", Answer.BOOLEAN: "true or false"}[
        verb.answer
    ]


def _columns(rows: Iterable[tuple[str, str]]) -> list[str]:
    return [f"  {left:<45} {right}" for left, right in rows]
