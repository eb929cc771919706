"""A line between two real processes that can be slowed, and counts what it carries.

It is ``tests.doubles.fault_proxy`` as a process of its own, obeying one line at a time.
"""

import json
import subprocess
import sys
from urllib.parse import urlsplit

from tests.integration.closing import Closing
from tests.integration.processes import ROOT, ProcessFailed, environment
from tests.integration.sources import LOOPBACK


class Hop(Closing):
    """A fault proxy on 127.0.0.1 (or ``at``), in front of a host and a port.

    Attributes:
        port: where it listens.
        url: the same as a source's URL.
    """

    def __init__(
        self, host: str, port: int, *, listen: int = 0, seed: int = 0, at: str = LOOPBACK
    ) -> None:
        argv = [sys.executable, "-m", "tests.doubles.fault_proxy", "--to", f"{host}:{port}"]
        self._process = subprocess.Popen(
            [*argv, "--at", at, "--listen", str(listen), "--seed", str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment(),
            text=True,
        )
        word, _, number = self._line().partition(" ")
        if word != "listening":
            self.close()
            raise ProcessFailed(f"the fault proxy for {host}:{port} does not listen")
        self.port = int(number)
        self.url = f"http://{at}:{self.port}/"

    @classmethod
    def to_url(cls, url: str, *, seed: int = 0) -> "Hop":
        """In front of a source on this machine."""
        parts = urlsplit(url)
        return cls(str(parts.hostname), int(parts.port or 80), seed=seed)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def order(self, text: str) -> None:
        """Give it one order, as ``tests.doubles.fault_proxy`` describes them."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()

    def slow(self, bytes_per_s: float) -> None:
        """Let so many bytes per second and connection come back from the target."""
        self.order(f"down rate={int(bytes_per_s)}")

    def full_speed(self) -> None:
        """No more faults."""
        self.order("clear")

    def counts(self) -> dict[str, int]:
        """``up``, ``down`` (bytes), ``connections``, ``open_connections``.

        And what is on its way down at this moment: ``held`` bytes of ``streams`` connections.
        """
        self.order("counts")
        return dict(json.loads(self._line()))

    @property
    def carried_bytes(self) -> int:
        """Bytes that came back from the target so far."""
        return self.counts()["down"]

    def close(self) -> None:
        """End it; it ends with its input."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
