"""Every command of the wire, and arguments for each that fit its types."""

import inspect
from typing import Any

from twisted.protocols import amp

from common import commands

ALL_COMMANDS = tuple(
    command
    for _, command in inspect.getmembers(commands, inspect.isclass)
    if issubclass(command, amp.Command)
)
ADMIN_COMMANDS = (
    commands.Ask,
    commands.ReadAnswer,
    commands.AnswerItem,
    commands.AnswerProgress,
    commands.ReadBundle,
)
TO_RACK_COMMANDS = (commands.ViewChanged, commands.SyncNow)
CONTROL_COMMANDS = tuple(
    command for command in ALL_COMMANDS if command not in {commands.Enrol, *ADMIN_COMMANDS}
)

_EXAMPLES = {amp.Unicode: "x", amp.Integer: 1, amp.String: b"x", amp.Boolean: True, amp.Float: 1.0}


def arguments_of(command: type[amp.Command]) -> dict[str, Any]:
    """Arguments that AMP can carry."""
    return {name.decode(): _EXAMPLES[type(kind)] for name, kind in command.arguments}
