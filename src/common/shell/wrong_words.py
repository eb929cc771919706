"""What to say to a word that nobody knows: the word, and the nearest right one (pure)."""

import difflib
from collections.abc import Iterable, Sequence

from common.errors import WrongUsage
from common.vocabulary import FLAGS, OPTIONS, VERBS, Kind, Parameter, Verb

OPTION_NAMES = tuple(sorted(option.split()[0] for option in OPTIONS))

_OVERVIEW = "rackferry help lists all words"
_NEAR_ENOUGH = 0.5
_MANY = 8
_LONGEST = 80


def key_text(parameter: Parameter) -> str:
    """A key as it is typed: ``url=``, ``keyring_data@=``."""
    return f"{parameter.name}{'@' if parameter.kind in {Kind.BYTES, Kind.FILE} else ''}="


def with_ids(verb: Verb) -> str:
    """A verb and its ids: ``available-images read [SOURCE]``."""
    ids = [name.upper() for name in verb.ids] + [f"[{name.upper()}]" for name in verb.optional_ids]
    return " ".join((verb.phrase, *ids))


def nearest(word: str, known: Iterable[str]) -> str:
    """The one that begins so, or else the most similar of the known words; "" if none is."""
    folded = {each.casefold(): each for each in known}
    begun = [each for key, each in folded.items() if word and key.startswith(word.casefold())]
    if len(begun) == 1:
        return begun[0]
    near = difflib.get_close_matches(word[:_LONGEST].casefold(), folded, 1, _NEAR_ENOUGH)
    return folded[near[0]] if near else ""


def unknown(what: str, word: str, known: Sequence[str], otherwise: str = "") -> WrongUsage:
    """The error for a word, with the nearest known one or, if they are few, with all.

    ``otherwise`` is the remedy when no known word is similar.
    """
    near = nearest(word, known)
    if near:
        remedy = f'did you mean "{near}"?'
    elif not otherwise and 0 < len(known) <= _MANY:
        remedy = f"there are: {', '.join(known)}"
    else:
        remedy = otherwise or _OVERVIEW
    shown = word if len(word) <= _LONGEST else f"{word[:_LONGEST]}..."
    return WrongUsage(f"unknown {what}", object=shown or '""', remedy=remedy)


def unknown_noun(word: str, verbs: Iterable[Verb]) -> WrongUsage:
    """A first word that is no noun; if it is a verb, with the nouns that have that one."""
    verbs = list(verbs)
    nouns = tuple(dict.fromkeys(verb.noun for verb in verbs))
    known = {verb.verb for verb in verbs}
    meant = word if word in known or nearest(word, nouns) else nearest(word, known)
    found = [verb for verb in verbs if meant and verb.verb == meant]
    if not found:
        return unknown("word", word, nouns)
    if len(found) == 1:
        return unknown("word", word, (), f'did you mean "{with_ids(found[0])}"?')
    return unknown("word", word, (), f"{meant} follows {', '.join(verb.noun for verb in found)}")


def unknown_option(name: str) -> WrongUsage:
    """An option that is none; flags and keys are often typed as options elsewhere."""
    if name in OPTION_NAMES:
        return WrongUsage("takes no value", object=name)
    bare = name.lstrip("-").replace("-", "_")
    if bare in FLAGS:
        return unknown("option", name, (), f'did you mean "{bare}"? flags have no dashes')
    if any(bare == parameter.name for verb in VERBS for parameter in verb.parameters):
        return unknown("option", name, (), f'did you mean "{bare}="? keys have no dashes')
    return unknown("option", name, OPTION_NAMES)


def unknown_key(verb: Verb, key: str) -> WrongUsage:
    """A ``key=`` that this verb does not have."""
    if key.lower() in {*verb.ids, *verb.optional_ids}:
        return unknown("key", key, (), f"ids stand without a name: rackferry {verb.example_line}")
    known = [parameter.name for parameter in verb.parameters]
    return unknown("key", key, known, _takes(verb))


def unexpected(verb: Verb, word: str) -> WrongUsage:
    """A bare word after the ids that is no flag."""
    keys = [key_text(parameter) for parameter in verb.parameters]
    return unknown("word", word, (*verb.flags, *keys), _takes(verb))


def _takes(verb: Verb) -> str:
    """What may follow a verb, in words."""
    ids = [name.upper() for name in (*verb.ids, *verb.optional_ids)]
    keys = [key_text(each) for each in (*verb.parameters, *filter(None, (verb.open_keys,)))]
    words = [*ids, *verb.flags, *keys]
    if not words:
        return f"nothing follows {verb.phrase}"
    if len(words) > _MANY:
        return f"rackferry {verb.phrase} --help lists what it takes"
    return f"{verb.phrase} takes {', '.join(words)}"
