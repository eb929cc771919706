"""A network of one's own: its ports are all free, and a machine can be on its cable.

It is a Linux network namespace with ``eth1``, which has the rack's address of
docs/operations.md, and at the other end of its cable ``machine``, which has none. Needs
root, like the servers that are run in it: they change to users of their own.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.integration.closing import Closing
from tests.integration.processes import ProcessFailed, environment

RACK = "10.0.0.5"
_CABLE = f"""
set -e
ip link set lo up
ip link add eth1 type veth peer name machine
ip addr add {RACK}/24 dev eth1
ip link set eth1 up
ip link set machine up
echo 1 > /proc/sys/net/ipv4/conf/all/accept_local  # both ends are this machine's
echo ready
exec cat
"""


class NoLan(Exception):
    """There is no network to be had here; the message says why."""


class Lan(Closing):
    """The network; it is there until ``close``.

    Raises:
        NoLan: not root, no namespaces here, or no ``ip``.
    """

    def __init__(self) -> None:
        if os.geteuid() != 0:
            raise NoLan("a network of one's own needs root")
        self._keeper = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", _CABLE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._enter = ["nsenter", "--target", str(self._keeper.pid), "--net"]
        self._servers: list[subprocess.Popen[bytes]] = []
        assert self._keeper.stdout is not None
        assert self._keeper.stderr is not None
        if self._keeper.stdout.readline() != b"ready\n":
            said = self._keeper.stderr.read().decode()
            self.close()
            raise NoLan(f"no network namespace: {said.strip()}")

    def argv(self, *words: str) -> list[str]:
        """The same command, in this network."""
        return [*self._enter, *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command in this network to its end."""
        return subprocess.run(
            self.argv(*words), capture_output=True, env=environment(), timeout=60, check=False
        )

    def fetch(self, url: str, *options: str) -> bytes:
        """What ``curl`` gets from a URL; TFTP URLs, too.

        Raises:
            ProcessFailed: it got nothing.
        """
        done = self.run("curl", "-fsS", "--noproxy", "*", "--max-time", "30", *options, url)
        if done.returncode != 0:
            raise ProcessFailed(f"curl {url}: {done.stderr.decode().strip()}")
        return done.stdout

    def serve(self, words: Sequence[str], port: int, kind: str) -> None:
        """Start a server and wait until it has its port.

        Args:
            words: a command that stays in the foreground.
            port: one that it listens on.
            kind: "tcp" or "udp".

        Raises:
            ProcessFailed: it ended instead.
        """
        process = subprocess.Popen(
            self.argv(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._servers.append(process)
        deadline_s = time.monotonic() + 60
        while not self._listens(port, kind):
            if process.poll() is not None or time.monotonic() > deadline_s:
                process.kill()
                said, _ = process.communicate()
                raise ProcessFailed(f"{words[0]} does not listen on {port}:\n{said.decode()}")
            time.sleep(0.05)

    def _listens(self, port: int, kind: str) -> bool:
        """Foreign servers give no notice, so the kernel is asked for their sockets."""
        table = self.run("cat", f"/proc/net/{kind}", f"/proc/net/{kind}6").stdout.decode()
        wanted = "0A" if kind == "tcp" else "07"  # listening; a UDP socket is "closed" then
        rows = [line.split() for line in table.splitlines()]
        return any(
            len(row) > 3 and row[1].endswith(f":{port:04X}") and row[3] == wanted for row in rows
        )

    def offer(self, arch: int, *, is_ipxe: bool = False) -> tuple[str, str]:
        """What DHCP offers a machine of this architecture on the cable: file and server."""
        words = [sys.executable, "-m", "tests.integration.dhcp_client", str(arch)]
        done = self.run(*words, *(["ipxe"] if is_ipxe else []))
        if done.returncode != 0:
            raise ProcessFailed(f"no offer: {done.stderr.decode()}")
        file, _, server = done.stdout.decode().strip().partition(" ")
        return file, server

    def end_servers(self) -> None:
        """End every server that was started."""
        for process in self._servers:
            process.terminate()
            process.communicate(timeout=60)
        self._servers.clear()

    def close(self) -> None:
        """End the servers and the network."""
        self.end_servers()
        self._keeper.kill()
        self._keeper.communicate()
