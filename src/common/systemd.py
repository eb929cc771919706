"""What systemd and a daemon tell each other: notices, the watchdog, sockets.

The protocols are those of sd_notify(3), sd_watchdog_enabled(3) and sd_listen_fds(3). All
of it falls silent when the daemon was not started by systemd.
"""

import os
import socket
from collections.abc import Awaitable, Callable, Mapping

import attrs
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
from twisted.internet.interfaces import IReactorSocket, IReactorTime, IStreamServerEndpoint
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

_SEND_TIMEOUT_S = 1.0

log = Logger()


@attrs.frozen
class Supervisor:
    """The systemd that started us, or nobody (``address`` is "").

    Attributes:
        address: the notify socket's path; a leading ``@`` means an abstract socket.
        watchdog_s: silence after which we are killed; 0 for no watchdog.
    """

    address: str = ""
    watchdog_s: float = 0.0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], pid: int) -> "Supervisor":
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID."""
        watchdog = environ.get("WATCHDOG_USEC", "")
        is_ours = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        return cls(
            environ.get("NOTIFY_SOCKET", ""),
            int(watchdog) / 1e6 if watchdog.isdigit() and is_ours else 0.0,
        )

    def tell(self, notice: str) -> None:
        """Send one notice, such as ``READY=1``. A failure is logged and changes nothing."""
        if not self.address:
            return
        address = "\0" + self.address[1:] if self.address[0] == "@" else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
                datagrams.settimeout(_SEND_TIMEOUT_S)
                datagrams.sendto(notice.encode(), address)
        except OSError as error:
            log.warn("systemd was not told {notice}: {error}", notice=notice, error=error)


class SystemdService(Service):
    """Tells systemd how we are, from ``ready`` until the service is stopped.

    The watchdog is fed at half of its time, and only when ``health`` returns within a
    quarter of it: a blocked reactor, database or disk lets it bite.
    """

    def __init__(
        self,
        clock: IReactorTime,
        supervisor: Supervisor,
        health: Callable[[], Awaitable[None]],
    ) -> None:
        self._supervisor = supervisor
        self._health = health
        self._clock = clock
        self._checking: Deferred[None] | None = None
        self._feeding = LoopingCall(self._feed)
        self._feeding.clock = clock

    def ready(self, status: str = "") -> None:
        """Everything is bound and recovered. Called once, by whoever starts the daemon."""
        self._supervisor.tell(f"READY=1\nSTATUS={_one_line(status)}")
        if self._supervisor.watchdog_s and not self._feeding.running:
            self._feeding.start(self._supervisor.watchdog_s / 2)

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._supervisor.tell(f"STATUS={_one_line(text)}")

    def stopService(self) -> Deferred[None] | None:
        """Say that we are stopping, and stop asking for health."""
        super().stopService()
        self._supervisor.tell("STOPPING=1")
        if self._feeding.running:
            self._feeding.stop()
        checking = self._checking
        if checking is not None:
            checking.cancel()
        return checking

    def _feed(self) -> Deferred[None]:
        self._checking = Deferred.fromCoroutine(self._check())
        return self._checking

    async def _check(self) -> None:
        limit_s = self._supervisor.watchdog_s / 4
        try:
            await Deferred.fromCoroutine(_awaited(self._health)).addTimeout(limit_s, self._clock)
        except CancelledError:
            return
        except Exception as error:  # noqa: BLE001  (whatever it is, a restart is the remedy)
            log.failure("not healthy; the watchdog is not fed")
            reason = str(error) or type(error).__name__
            self.status(f"not healthy: {reason}")
        else:
            self._supervisor.tell("WATCHDOG=1")
        finally:
            self._checking = None


async def _awaited(health: Callable[[], Awaitable[None]]) -> None:
    await health()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def inherited_socket(reactor: IReactorSocket, name: str) -> IStreamServerEndpoint | None:
    """The listening socket that systemd hands over under ``name``, if there is one."""
    try:
        # Twisted has taken LISTEN_FDS out of the environment at import; its own endpoint
        # string is the way to ask for what was in it.
        found = serverFromString(reactor, f"systemd:domain=UNIX:name={name}")
    except KeyError:
        return None
    if not isinstance(found, AdoptedStreamServerEndpoint):
        return None
    return AdoptedStreamServerEndpoint(reactor, found.fileno, _family(found.fileno))


def _family(descriptor: int) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as handed_over:
        return handed_over.family


def endpoint_for(reactor: IReactorSocket, name: str, description: str) -> IStreamServerEndpoint:
    """Where to listen: systemd's socket of that ``name``, else the configured endpoint."""
    return inherited_socket(reactor, name) or serverFromString(reactor, description)
