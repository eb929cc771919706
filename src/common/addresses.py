"""Where something listens, as configurations write it (pure)."""

import re
from pathlib import Path

_TCP_PORT = re.compile(r"tcp6?:(?:port=)?(\d+)(?::|$)")
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/@\s]+))(?::(\d{1,5}))?")

RPC_PORT = 5250
ENROL_PORT = 5251


def parse_address(text: str, default_port: int) -> tuple[str, int]:
    """``host``, ``host:port`` or ``[IPv6]:port`` as (host, port).

    Raises:
        ValueError: it is none of these.
    """
    match = _ADDRESS.fullmatch(text)
    port = int(match[3] or default_port) if match else 0
    if match is None or not 0 < port <= 65535:
        raise ValueError(f'"{text}" is not HOST:PORT')
    return match[1] or match[2], port


def unix_path(description: str) -> Path | None:
    """The path of a ``unix:`` endpoint string; None for any other endpoint."""
    if not description.startswith("unix:"):
        return None
    address = re.split(r"(?<!\\):", description)[1].removeprefix("address=")
    return Path(address.replace(r"\:", ":"))


def tcp_port(description: str) -> int | None:
    """The port of a ``tcp:`` endpoint string; None for any other, and where 0 lets any be taken."""
    match = _TCP_PORT.match(description)
    return (int(match[1]) or None) if match else None
