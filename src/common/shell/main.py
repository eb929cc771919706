"""The entry point of ``rackferry``.

Nothing is imported here before it is needed: the first output of a command comes within half a
second, and completion answers before whoever types notices.
"""

import gc
import io
import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out the command line; gives the exit code."""
    # Importing makes much that stays: looking for garbage meanwhile costs a tenth.
    gc.disable()
    _open_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["complete"]:
        from common.shell.completing import print_candidates  # noqa: PLC0415  (see above)

        return print_candidates(words[1:], os.environ, sys.stdout)
    from common.shell.process import run  # noqa: PLC0415  (see above)

    return run(words)


def _open_streams() -> None:
    """Have all three, whoever started us, and take whatever is written to them.

    One that was closed (``>&-``) would leave its number to the next file or socket, and a
    terminal of another encoding lacks some characters.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115  (see the module)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
