"""The names of files that begin with what was typed."""

import os
from collections.abc import Iterator

_AT_MOST = 500


def paths(text: str) -> Iterator[str]:
    """Files and directories (with a slash at the end); hidden ones only if that was begun.

    What cannot be read has no names.
    """
    directory, begun = os.path.split(text)
    shown = text.removesuffix(begun)
    try:
        with os.scandir(os.path.expanduser(directory) or ".") as entries:  # noqa: PTH111 (pathlib is slow to import)
            found = [entry.name + ("/" if entry.is_dir() else "") for entry in entries]
    except (OSError, ValueError):
        return
    named = [name for name in sorted(found) if name.startswith(begun)]
    for name in named[:_AT_MOST]:
        if begun or not name.startswith("."):
            yield f"{shown}{name}"
