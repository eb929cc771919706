"""Earlier lines of the prompt, over runs; those with secrets are not kept."""

import re
from pathlib import Path

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

_MOST_BYTES = 512 * 1024
_KEPT_BYTES = 256 * 1024
# Typing errors are secrets, too: a key that looks like one for a password is one.
_SECRET = re.compile(
    r"""[\w-]*(pas|pwd|tok|secret|bearer|cred|keyring_data)[\w-]*=['"]*[^\s'"]  # password=x
      | \brg1\.                                     # a token for a rack
      | [^\s/@:]+:[^\s/@]*@                         # user:password@host
      | -----BEGIN
    """,
    re.IGNORECASE | re.VERBOSE,
)


def has_secret(line: str) -> bool:
    """Whether a line holds what nobody is to find in a file; ``password@=FILE`` does not."""
    return _SECRET.search(line) is not None


def history_at(state_home: str) -> History:
    """The history in a directory; in memory only where no file can be made."""
    path = Path(state_home).expanduser() / "rackferry" / "history"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)
        _shorten(path)
    except (OSError, RuntimeError):
        return InMemoryHistory()
    return KeptHistory(path)


class KeptHistory(FileHistory):
    """A file of lines; a line with a secret can be had again in this run only."""

    def store_string(self, string: str) -> None:
        """Called by prompt-toolkit with each line."""
        if has_secret(string):
            return
        try:
            super().store_string(string)
        except OSError:
            return  # a full disk is no reason not to go on


def _shorten(path: Path) -> None:
    """Keep the end of a file that has become long; a line of it begins with a date's ``#``."""
    if path.stat().st_size <= _MOST_BYTES:
        return
    kept = path.read_bytes()[-_KEPT_BYTES:]
    path.write_bytes(kept[kept.find(b"\n#") :])
