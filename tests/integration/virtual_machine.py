"""A machine under QEMU that boots over the network, seen at its serial port and on its wire.

Its network is QEMU's user network: a DHCP server that says what to boot, a TFTP server that
serves a directory of this machine, and this machine itself at ``HOST``.
"""

import os
import re
import selectors
import shutil
import subprocess
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.integration.closing import Closing

HOST = "10.0.2.2"
MEMORY_MIB = 768
ROMS = ("/usr/lib/ipxe/qemu/pxe-virtio.rom", "/usr/share/qemu/pxe-virtio.rom")
KVM_LIMIT_S = 15.0
LOOK_S = 0.2
_QEMU = "qemu-system-x86_64"
_WIRE_BYTES = 256  # of each packet; requests are at its beginning


class NoMachine(Exception):
    """There is no QEMU to boot a machine in; the message says what to install."""


class NotBooted(AssertionError):
    """The machine did not say what it should; the message holds its last words."""


def require_qemu() -> None:
    """See that a machine can be had.

    Raises:
        NoMachine: QEMU or the network cards' boot ROMs are not installed.
    """
    if shutil.which(_QEMU) is None:
        raise NoMachine(f"{_QEMU} is not installed; try: apt-get install qemu-system-x86")
    if not any(Path(rom).exists() for rom in ROMS):
        raise NoMachine("QEMU's cards have no iPXE; try: apt-get install ipxe-qemu")


class VirtualMachine(Closing):
    """One machine, on from the start.

    Args:
        directory: where its console and its wire are kept.
        netdev: what its network offers, as QEMU's ``-netdev user`` has it.
        accelerator: "kvm" or "tcg".
        more: further words for QEMU.

    Attributes:
        console: what it wrote to its serial port so far.
    """

    def __init__(
        self, directory: Path, netdev: str, accelerator: str, more: Sequence[str] = ()
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._wire = directory / "wire.pcap"
        self._wire.touch()  # QEMU takes a moment to open it
        self.console = b""
        network = [
            *("-netdev", f"user,id=net,{netdev}"),
            *("-device", "virtio-net-pci,netdev=net"),
            *("-object", f"filter-dump,id=wire,netdev=net,file={self._wire},maxlen={_WIRE_BYTES}"),
            *("-boot", "n"),
        ]
        self._process = _started(accelerator, [*network, *more])

    def wait_for(self, *patterns: bytes, limit_s: float) -> None:
        """Read the console until each pattern was met, in their order.

        Raises:
            NotBooted: the machine went off or ``limit_s`` passed.
        """
        self.console = _read_until(self._process, patterns, limit_s)

    def wait_for_request(self, path: str, limit_s: float) -> None:
        """Wait until it asks for that over HTTP; a file tells nobody, so it is looked at.

        Raises:
            NotBooted: ``limit_s`` passed.
        """
        deadline_s = time.monotonic() + limit_s
        while path not in self.http_requests():
            if time.monotonic() > deadline_s:
                raise NotBooted(f"it never asked for {path}: {self.http_requests()}")
            time.sleep(LOOK_S)

    def wire(self) -> bytes:
        """The beginnings of all packets so far: what it asked for can be read there."""
        return self._wire.read_bytes()

    def http_requests(self) -> list[str]:
        """The paths that it asked for over HTTP, in order; each once."""
        found = re.findall(rb"GET (/\S*) HTTP/1", self.wire())
        return list(dict.fromkeys(path.decode("ascii") for path in found))

    def tftp_requests(self) -> list[str]:
        """The names that it asked for over TFTP, in order; each once."""
        found = re.findall(rb"\x00\x01([!-~]+)\x00octet\x00", self.wire())
        return list(dict.fromkeys(path.decode("ascii") for path in found))

    def off(self) -> None:
        """Pull the plug."""
        _end(self._process)

    def close(self) -> None:
        """Switch it off."""
        self.off()


@cache
def accelerator(kernel: Path) -> str:
    """What runs machines here: "kvm" if a kernel starts with it, else "tcg".

    /dev/kvm can be there, and take a machine, and the machine then stands still: so it is
    tried out.
    """
    words = ["-nic", "none", "-kernel", str(kernel), "-append", "console=ttyS0"]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    process = _started("kvm", words)
    try:
        _read_until(process, (rb"Linux version \d",), KVM_LIMIT_S)
    except NotBooted:
        return "tcg"
    else:
        return "kvm"
    finally:
        _end(process)


def _started(accel: str, words: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(_QEMU, "-accel", accel, "-m", str(MEMORY_MIB), "-no-reboot"),
            *("-display", "none", "-vga", "none", "-monitor", "none", "-serial", "stdio"),
            *words,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _read_until(
    process: subprocess.Popen[bytes], patterns: Sequence[bytes], limit_s: float
) -> bytes:
    """What it says until it has said all that; as ``VirtualMachine.wait_for``."""
    assert process.stdout is not None
    said = b""
    deadline_s = time.monotonic() + limit_s
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (missing := _missing(patterns, said)) is not None:
            ready = selector.select(max(0.0, deadline_s - time.monotonic()))
            piece = os.read(process.stdout.fileno(), 65536) if ready else b""
            if not piece:
                how = "went off" if ready else f"took more than {limit_s:.0f} s"
                tail = said[-3000:].decode("ascii", "replace")
                raise NotBooted(f"it {how} and never said {missing.decode()!r}:\n{tail}")
            said += piece
    return said


def _missing(patterns: Sequence[bytes], said: bytes) -> bytes | None:
    """The first pattern that was not said after those before it."""
    start = 0
    for pattern in patterns:
        match = re.compile(pattern).search(said, start)
        if match is None:
            return pattern
        start = match.end()
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
