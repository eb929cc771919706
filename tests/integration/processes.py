"""Real daemons from outside: start, wait for READY, stop, kill, measure.

A daemon is started as systemd would start it: its environment comes from the unit file,
and it is up when it says ``READY=1`` in a datagram to ``NOTIFY_SOCKET``. The wait watches
that socket and the process itself, so nothing is polled and a daemon that dies while
starting is reported at once, with the end of its log.
"""

import os
import re
import selectors
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOG_TAIL_LINES = 60
START_LIMIT_S = 60.0
STOP_LIMIT_S = 60.0


class ProcessFailed(AssertionError):
    """A process ended or was silent when it should not; the message holds its last words."""


_NOT_INHERITED = {
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "RACKFERRY_SOCKET",
    "PYTHONDONTWRITEBYTECODE",  # each process would compile everything anew
}


def environment(**more: str) -> dict[str, str]:
    """The caller's environment, with this work tree importable and no inherited systemd."""
    kept = {key: value for key, value in os.environ.items() if key not in _NOT_INHERITED}
    return kept | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PYTHONUNBUFFERED": "1"} | more


def unit_environment(unit: Path) -> dict[str, str]:
    """The ``Environment=`` settings of a systemd unit (the tuned allocator is among them)."""
    lines = re.findall(r"^Environment=(.*)$", unit.read_text(), re.MULTILINE)
    words = [word for line in lines for word in shlex.split(line)]
    return dict(word.split("=", 1) for word in words)


def cpu_seconds(pid: int) -> float:
    """The processor time that a running process and its running children have taken."""
    tasks = Path(f"/proc/{pid}/task")
    children = [
        each for task in tasks.iterdir() for each in (task / "children").read_text().split()
    ]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu_seconds(int(child)) for child in children)


class Daemon:
    """One daemon as a process of its own, logging to a file.

    Attributes:
        argv: the whole command.
        log: where stdout and stderr go; appended to over restarts.
        settings: its environment, beside ours; for the next start.
        starts: how often it was started.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        directory: Path,
        sockets: Path,
        settings: Mapping[str, str],
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self.log = directory / f"{name}.log"
        self.starts = 0
        self._directory = directory
        self._notify = sockets / f"{name}.notify"
        self.settings = dict(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._notices: socket.socket | None = None
        self._peak_rss_bytes = 0

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process.

        Raises:
            ProcessFailed: it was never started, or has been stopped.
        """
        if self._process is None:
            raise ProcessFailed(f"{self.name} is not running\n{self.tail()}")
        return self._process

    @property
    def pid(self) -> int:
        """The process id, for signals of the caller's own."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, limit_s: float = START_LIMIT_S) -> float:
        """Start it and wait for READY.

        Returns:
            Seconds from start to READY.

        Raises:
            ProcessFailed: it ended first, or was silent for ``limit_s``.
        """
        if self.is_running:
            raise ProcessFailed(f"{self.name} runs already")
        began_s = time.monotonic()
        self._close_notices()
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(str(self._notify))
        self._launch()
        self._wait_ready(self._notices, began_s + limit_s)
        return time.monotonic() - began_s

    def start_unready(self) -> None:
        """Start it and do not wait: for daemons that are meant to refuse to start."""
        self._launch()

    def _close_notices(self) -> None:
        """Not before the process is gone, so that its STOPPING=1 finds somebody."""
        if self._notices is not None:
            self._notices.close()
            self._notices = None
        self._notify.unlink(missing_ok=True)

    def _launch(self) -> None:
        self.starts += 1
        with self.log.open("ab") as log:
            log.write(f"--- start {self.starts}: {shlex.join(self.argv)}\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env=environment(**self.settings, NOTIFY_SOCKET=str(self._notify)),
            )

    def _wait_ready(self, notices: socket.socket, deadline_s: float) -> None:
        end = os.pidfd_open(self.pid)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(notices, selectors.EVENT_READ)
                selector.register(end, selectors.EVENT_READ)
                while True:
                    happened = selector.select(max(0.0, deadline_s - time.monotonic()))
                    ready = [key for key, _ in happened if key.fileobj is notices]
                    if ready and b"READY=1" in notices.recv(4096).split(b"\n"):
                        return
                    if not ready:
                        self._fail_start(ended=bool(happened))
        finally:
            os.close(end)

    def notice(self, limit_s: float) -> bytes:
        """The next datagram that it sends to systemd.

        Raises:
            ProcessFailed: it was silent for ``limit_s``.
        """
        if self._notices is None:
            raise ProcessFailed(f"{self.name} was not started\n{self.tail()}")
        self._notices.settimeout(limit_s)
        try:
            return self._notices.recv(4096)
        except TimeoutError:
            raise ProcessFailed(f"{self.name} was silent\n{self.tail()}") from None

    def _fail_start(self, *, ended: bool) -> None:
        tail = self.tail()
        code = self.process.wait() if ended else None
        self.kill()
        how = f"ended with {code}" if ended else "was not READY in time"
        raise ProcessFailed(f"{self.name} {how}\n{tail}")

    def wait(self, limit_s: float = STOP_LIMIT_S) -> int:
        """Wait for its end and return the exit code (negative: the signal)."""
        self._note_memory()
        try:
            code = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            tail = self.tail()
            self.kill()
            raise ProcessFailed(f"{self.name} did not end in {limit_s} s\n{tail}") from None
        self._ended()
        return code

    def stop(self) -> int:
        """End it as systemd does, with SIGTERM; the exit code. Nothing if it is down.

        ``twistd`` ends by the signal that ended it: -15 is a clean end.
        """
        if self._process is None:
            return 0
        self._note_memory()
        self._process.terminate()
        self.resume()  # a paused one would never hear it
        return self.wait()

    def kill(self) -> None:
        """SIGKILL: what a power cut looks like to the process. Nothing if it is down."""
        if self._process is None:
            return
        self._note_memory()
        self._process.kill()
        self._process.wait()
        self._ended()

    def _ended(self) -> None:
        self._process = None
        self._close_notices()

    def restart(self) -> float:
        """Stop and start; seconds from start to READY."""
        self.stop()
        return self.start()

    def pause(self) -> None:
        """SIGSTOP: the process stays and answers nobody."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after ``pause``."""
        self.process.send_signal(signal.SIGCONT)

    def peak_rss_bytes(self) -> int:
        """The most resident memory any start of it has held (``VmHWM``)."""
        self._note_memory()
        return self._peak_rss_bytes

    def _note_memory(self) -> None:
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except (OSError, ProcessFailed):
            return
        for kib in re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE):
            self._peak_rss_bytes = max(self._peak_rss_bytes, int(kib) * 1024)

    def tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """The end of its log."""
        if not self.log.exists():
            return ""
        text = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"{self.name}| {line}" for line in text[-lines:])
