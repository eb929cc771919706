"""Opening listening ports so that a failure is one clear line and never goes unseen.

``StreamServerEndpointService`` only logs a failing bind and lives on, listening nowhere;
here a failing bind is a ``ConfigError`` for whoever starts the daemon.
"""

import errno
import grp
import os
import socket
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint

from common.addresses import unix_path
from common.durable import make_directory, remove_file
from common.errors import ConfigError
from common.systemd import endpoint_for


class Ports:
    """The open ports of a daemon, each by its key in ``[listen]``.

    Args:
        reactor: opens them.
        listen: the table ``[listen]``, with an endpoint string as each attribute.
    """

    def __init__(self, reactor: Any, listen: object) -> None:
        self._reactor = reactor
        self._listen = listen
        self._ports: dict[str, IListeningPort] = {}

    def open(self, name: str, factory: IProtocolFactory, group: str = "") -> None:
        """Open a port: systemd's of that name, else the configured one. See ``listen``.

        Raises:
            ConfigError: it cannot be opened.
        """
        description = getattr(self._listen, name)
        endpoint = endpoint_for(self._reactor, name, description)
        failures: list[Any] = []
        opening = Deferred.fromCoroutine(
            listen(endpoint, factory, name=name, description=description, group=group)
        )
        # TCP and Unix ports are open, or not, when the call returns.
        opening.addCallbacks(partial(self._ports.__setitem__, name), failures.append)
        for failure in failures:
            failure.raiseException()

    def number(self, name: str) -> int:
        """The number of an open TCP port: the one that is really bound."""
        address: Any = self._ports[name].getHost()
        return int(address.port)

    async def close(self) -> None:
        """Close all of them; connections stay."""
        for port in self._ports.values():
            await maybeDeferred(port.stopListening)


async def listen(
    endpoint: IStreamServerEndpoint,
    factory: IProtocolFactory,
    *,
    name: str,
    description: str,
    group: str = "",
) -> IListeningPort:
    """Open a port.

    Args:
        endpoint: where to listen; ``common.systemd.endpoint_for`` gives it, TLS may wrap it.
        factory: who answers.
        name: the port's key in ``[listen]``, for messages.
        description: the configured endpoint string, for messages.
        group: who else may use a Unix socket; "" for nobody.

    Raises:
        ConfigError: for example ``port in use: tcp:5240 (web)``.
    """
    path = unix_path(description)
    where = f"{description} ({name})"
    try:
        if path is not None:
            make_directory(path.parent, sync=False)
            _remove_abandoned(path)
        port = await endpoint.listen(factory)
        if path is not None and group:
            await _give_to_group(port, path, group)
    except CannotListenError as error:
        raise _failure(error.socketError, where) from error
    except OSError as error:
        raise _failure(error, where) from error
    return port


def _remove_abandoned(path: Path) -> None:
    """Remove the socket of a process that was killed while it took the socket's lock.

    Twisted removes one whose lock is there and whose owner is dead. Without a lock it would
    be "in use" at each start, until somebody removed it by hand.
    """
    lock = path.with_name(f"{path.name}.lock")
    if not path.is_socket() or lock.is_symlink():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            remove_file(path)


async def _give_to_group(port: IListeningPort, path: Path, group: str) -> None:
    try:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
    except OSError:
        await maybeDeferred(port.stopListening)
        raise
    except KeyError:
        await maybeDeferred(port.stopListening)
        raise ConfigError(
            f'no group "{group}" on this machine',
            object="admin_group",
            remedy=f"addgroup --system {group}, or change admin_group",
        ) from None


def _failure(cause: object, where: str) -> ConfigError:
    number = getattr(cause, "errno", None)
    if number == errno.EADDRINUSE or not isinstance(cause, OSError):
        # A Unix socket whose lock another process holds comes without an errno.
        return ConfigError(
            f"port in use: {where}",
            code="port-in-use",
            remedy="stop the process that has it, or change [listen]",
        )
    return ConfigError(f"cannot listen on {where}: {cause.strerror or cause}", code="listen")
