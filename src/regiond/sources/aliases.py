"""``_aliases`` of a product file (pure).

``{"_aliases": {KEY: {VALUE: {tag: value, ...}}}}``: wherever an object has KEY with the
string VALUE, the mapped tags are merged in and override their siblings. What was merged
in is not expanded again, so an alias cannot grow without end.
"""

from typing import Any

from regiond.sources.strict_json import fault

MAX_MERGED_TAGS = 1_000_000


def expand_aliases(document: dict[str, Any], path: str) -> dict[str, Any]:
    """The document without its ``_aliases``, with every alias replaced.

    Raises:
        SourceError: ``document-alias`` for a value that no alias explains, or too many.
    """
    if "_aliases" not in document:
        return document
    rest = {key: value for key, value in document.items() if key != "_aliases"}
    expanded = _Expansion(document["_aliases"], path).expand(rest)
    assert isinstance(expanded, dict)  # noqa: S101 - an object expands to an object
    return expanded


class _Expansion:
    def __init__(self, aliases: object, path: str) -> None:
        if not isinstance(aliases, dict) or not all(
            isinstance(values, dict) and all(isinstance(tags, dict) for tags in values.values())
            for values in aliases.values()
        ):
            raise fault("_aliases is not {key: {value: {tag: ...}}}", "alias", path)
        self._aliases = aliases
        self._path = path
        self._merged = 0

    def expand(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.expand(child) for child in value]
        if not isinstance(value, dict):
            return value
        expanded = {key: self.expand(child) for key, child in value.items()}
        for key, child in value.items():
            if isinstance(child, str) and key in self._aliases:
                expanded.update(self._tags(key, child))
        return expanded

    def _tags(self, key: str, value: str) -> dict[str, Any]:
        tags: dict[str, Any] | None = self._aliases[key].get(value)
        if tags is None:
            reason = f"no alias explains {key} = {ascii(value)[:80]}"
            raise fault(reason, "alias", self._path)
        self._merged += len(tags)
        if self._merged > MAX_MERGED_TAGS:
            raise fault("the aliases grow without end", "alias", self._path)
        return tags
