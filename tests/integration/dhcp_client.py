"""A machine that asks DHCP what to boot: ``dhcp_client ARCH [ipxe]`` prints file and server.

ARCH is the number of RFC 4578 (0 BIOS, 7 x64 UEFI, 11 ARM64 UEFI). Only the first question
and its answer (DISCOVER, OFFER) are spoken, on the interface ``machine``.
"""

import socket
import struct
import sys

INTERFACE = b"machine"
LIMIT_S = 10.0
TRIES = 3
_MAC = bytes.fromhex("525400123456")
_XID = 0x52464552
_BROADCAST = 0x8000
_COOKIE = bytes.fromhex("63825363")
_MESSAGE, _WANTED, _CLASS, _ARCH, _IPXE, _END = 53, 55, 60, 93, 175, 255
_SERVER_NAME, _BOOT_FILE = 66, 67
_DISCOVER = 1


def discover(arch: int, *, is_ipxe: bool) -> bytes:
    """The question."""
    head = struct.pack("!4BIHH16x6s10x192x", 1, 1, 6, 0, _XID, 0, _BROADCAST, _MAC)
    options = [
        (_MESSAGE, bytes([_DISCOVER])),
        (_CLASS, f"PXEClient:Arch:{arch:05}:UNDI:002001".encode()),
        (_ARCH, struct.pack("!H", arch)),
        (_WANTED, bytes([1, 3, _SERVER_NAME, _BOOT_FILE])),
        *([(_IPXE, b"\x01\x01\x01")] if is_ipxe else []),
    ]
    packed = b"".join(bytes([code, len(value)]) + value for code, value in options)
    return head + _COOKIE + packed + bytes([_END])


def boot_file(answer: bytes) -> tuple[str, str]:
    """The file and the server of an answer."""
    server, file = answer[20:24], answer[108:236].split(b"\0")[0]
    rest = answer[240:]
    while rest and rest[0] != _END:
        if rest[0] == 0:
            rest = rest[1:]
            continue
        code, size = rest[0], rest[1]
        if code == _BOOT_FILE:
            file = rest[2 : 2 + size].rstrip(b"\0")
        rest = rest[2 + size :]
    return file.decode("ascii"), socket.inet_ntoa(server)


def main() -> None:
    """Ask, and print the answer."""
    question = discover(int(sys.argv[1]), is_ipxe="ipxe" in sys.argv[2:])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, INTERFACE)
        line.bind(("", 68))
        line.settimeout(LIMIT_S)
        for attempt in range(TRIES):
            line.sendto(question, ("255.255.255.255", 67))
            try:
                answer = line.recv(4096)
            except TimeoutError:
                if attempt == TRIES - 1:
                    raise
            else:
                sys.stdout.write("{} {}\n".format(*boot_file(answer)))
                return


if __name__ == "__main__":
    main()
