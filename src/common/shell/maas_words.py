"""Words of the MAAS command line that are spelt differently here (pure).

``rackferry maas PROFILE NOUN VERB ...``: nouns, verbs and keys are those of
``common.vocabulary`` but for what stands here.
"""

from collections.abc import Mapping, Sequence

from common.verbs import REGION, Parameter, Verb
from common.vocabulary import BY_NAME

_NAME = Parameter("name", "MAAS's name of the setting", required=True)

# MAAS's own noun `maas`; answered out of our words (``common.shell.maas``), by no daemon.
TABLE: Mapping[tuple[str, str], Verb] = {
    **BY_NAME,
    ("maas", "get-config"): Verb(
        "maas", "get-config", "read a setting", REGION, parameters=(_NAME,)
    ),
    ("maas", "set-config"): Verb(
        "maas",
        "set-config",
        "change a setting",
        REGION,
        parameters=(_NAME, Parameter("value", "what it is to be", required=True)),
    ),
}

_WITHOUT_PROFILE = {
    "login": "no login is needed: the admin socket knows who asks",
    "logout": "there was no login",
    "refresh": "there is nothing to refresh",
    "list": "there are no profiles: any name will do",
}
_OPTIONS = frozenset({"-d", "--debug", "-k", "--insecure"})

# What older releases, and MAAS's own documentation, called it.
_OLD_NAMES: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("boot-source-selection", "create"): ("boot-source-selections", "create"),
    ("node-groups", "import-boot-images"): ("rack-controllers", "import-boot-images"),
}
_OLD_KEYS = {"skip_keyring_verification": "unsigned"}
_UNSET_BY_EMPTY = frozenset({"keyring_filename", "keyring_data"})


def answer_without_profile(words: Sequence[str]) -> str:
    """What to say to ``maas login ...`` and the like, which do nothing; "" for the rest."""
    said = _WITHOUT_PROFILE.get(words[0]) if words else None
    return f"maas {words[0]}: {said}" if said else ""


def is_ignored(option: str, before: Sequence[str]) -> bool:
    """Whether an option is one of MAAS's that mean nothing here.

    ``before`` are the plain words that stand before it.
    """
    return before[:1] == ["maas"] and (
        option in _OPTIONS or bool(answer_without_profile(before[1:]))
    )


def translated(words: Sequence[str]) -> list[str]:
    """Noun, verb and the rest (without the profile), as we spell them."""
    noun_and_verb = tuple(words[:2])
    renamed = _OLD_NAMES.get(noun_and_verb, noun_and_verb)
    return [*renamed, *filter(None, map(_translated_pair, words[2:]))]


def _translated_pair(word: str) -> str:
    key, is_pair, value = word.partition("=")
    if not is_pair:
        return word
    if key in _UNSET_BY_EMPTY and not value:
        return ""
    return f"{_OLD_KEYS.get(key, key)}={value}"
