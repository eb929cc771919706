"""Who is at the other end of a Unix socket, as the kernel says."""

import pwd
import socket
import struct
from collections.abc import Callable
from typing import Any, TypeVar

from common.pools import Threads

T = TypeVar("T")


async def _at_once(work: Callable[[], T], /) -> T:
    return work()


class Peers:
    """Names users.

    Args:
        in_thread: runs what may block: a site's users may be in a directory that is slow.
    """

    def __init__(self, in_thread: Threads = _at_once) -> None:
        self._in_thread = in_thread
        self._names: dict[int, str] = {}

    async def name_of(self, transport: Any) -> str:
        """``alice (uid 1000, pid 4711)``, or ``uid 1000 (pid 4711)`` if nobody has that number.

        After ``sudo`` it is the user whose rights are used, mostly root. "" if the transport
        is no Unix socket.
        """
        handle = getattr(transport, "socket", None)
        if handle is None or handle.family != socket.AF_UNIX:
            return ""
        size_bytes = struct.calcsize("3i")
        found = handle.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size_bytes)
        pid, uid, _ = struct.unpack("3i", found)
        if uid not in self._names:
            name = await self._in_thread(lambda: _user_name(uid))
            if name:
                self._names[uid] = name
        name = self._names.get(uid, "")
        return f"{name} (uid {uid}, pid {pid})" if name else f"uid {uid} (pid {pid})"


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""
