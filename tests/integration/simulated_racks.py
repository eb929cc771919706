"""Racks without a disk: each has a certificate of the region's, and speaks AMP over real TLS."""

import socket
import ssl
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from twisted.protocols import amp

from common.commands import PROTOCOL_VERSION, CurrentView, Hello
from common.identity import Authority, key_pem, new_key
from regiond.racks.enrolment import issue, key_sha256
from regiond.store import racks
from regiond.store.database import Database
from tests.doubles.stores import finished
from tests.integration.sources import LOOPBACK

_TOKEN_LIFETIME_S = 60.0
_LIMIT_S = 60.0


def enrol_many(
    database: Database, authority: Authority, names: Sequence[str], now: float, directory: Path
) -> None:
    """Give each rack a certificate; it stands in the directory, as NAME.pem, with its key.

    Nobody else may have the database open.
    """
    at = datetime.fromtimestamp(now, UTC)
    (directory / "root.pem").write_bytes(authority.pem)
    for name in names:
        key = new_key()
        secret = key_sha256(key.public_key())
        finished(database.write(racks.create_token, secret, name, now + _TOKEN_LIFETIME_S, now))
        issued = finished(
            database.write(
                racks.redeem_token,
                secret,
                secret,
                name,
                now,
                lambda rack, key=key: issue(authority, rack, key.public_key(), at),
            )
        )
        (directory / f"{name}.pem").write_bytes(key_pem(key) + issued.pem)


class SimulatedRack:
    """One rack that is connected. Answers nothing: it is silent after 75 seconds.

    Args:
        name: its certificate is of that name.
        directory: where ``enrol_many`` put it.
        port: of the region, for racks.
    """

    def __init__(self, name: str, directory: Path, port: int) -> None:
        context = ssl.create_default_context(cafile=str(directory / "root.pem"))
        context.load_cert_chain(directory / f"{name}.pem")
        plain = socket.create_connection((LOOPBACK, port), timeout=_LIMIT_S)
        self._stream = context.wrap_socket(plain, server_hostname=LOOPBACK)
        self._received = self._stream.makefile("rb")
        self._asked = 0
        self.ask(Hello, version="0", protocol=PROTOCOL_VERSION)

    def ask(self, command: type[amp.Command], **values: Any) -> dict[str, Any]:
        """Ask the region; what it answers."""
        self._asked += 1
        number = b"%d" % self._asked
        box = command.makeArguments(values, None)
        box[amp.ASK], box[amp.COMMAND] = number, command.commandName
        self._stream.sendall(box.serialize())
        while True:
            answer = amp.AmpBox(self._pairs())
            if answer.get(amp.ANSWER) == number:
                return dict(command.parseResponse(answer, None))
            if answer.get(amp.ERROR) == number:
                raise AssertionError(answer)

    def _pairs(self) -> Iterator[tuple[bytes, bytes]]:
        """The next box."""
        while key := self._piece():
            yield key, self._piece()

    def _piece(self) -> bytes:
        size_bytes = int.from_bytes(self._received.read(2), "big")
        return self._received.read(size_bytes)

    def hold(self) -> None:
        """Say that it holds all that it is to hold."""
        self.ask(CurrentView, held=self.ask(CurrentView, held="")["digest"])

    def close(self) -> None:
        """Go away."""
        self._received.close()
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
