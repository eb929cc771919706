"""GnuPG with a time limit, in a home and an environment of its own.

python-gnupg has no time limit: a process that is late is killed here.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING

import gnupg

from common.errors import ConfigError

if TYPE_CHECKING:
    from subprocess import Popen

TIME_LIMIT_S = 30.0


class TimedGpg(gnupg.GPG):
    """GnuPG; ``close`` it when every call has returned.

    Args:
        home: its directory; keys and settings elsewhere change nothing.
        options: of every call.

    Attributes:
        ran_out_of_time: whether a process was killed.

    Raises:
        ConfigError: there is no ``gpg``.
    """

    def __init__(self, home: Path, options: Sequence[str]) -> None:
        self.ran_out_of_time = False
        self._timers: list[Timer] = []
        environment = {"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)}
        try:
            super().__init__(gnupghome=str(home), options=list(options), env=environment)
        except OSError as error:
            raise ConfigError(
                "the program gpg cannot be run, so nothing can be signed or checked",
                object="gpg",
                code="config-gpg-missing",
                remedy="install GnuPG (package gnupg or gpg)",
            ) from error

    def _open_subprocess(self, args: list[str], passphrase: bool = False) -> "Popen[bytes]":
        process: Popen[bytes] = super()._open_subprocess(args, passphrase)
        timer = Timer(TIME_LIMIT_S, self._out_of_time, [process])
        timer.daemon = True
        timer.start()
        self._timers.append(timer)
        return process

    def _out_of_time(self, process: "Popen[bytes]") -> None:
        self.ran_out_of_time = True
        process.kill()

    def close(self) -> None:
        """Let the timers go; every process has ended by now."""
        for timer in self._timers:
            timer.cancel()
