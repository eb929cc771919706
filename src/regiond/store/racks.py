"""Racks, their certificates, and the one-time tokens that make a machine a rack.

Who a peer is comes from its certificate alone: ``rack_by_serial`` is asked for each
connection and request, and knows only active racks with certificates that are not revoked.
"""

from collections.abc import Callable, Collection
from typing import Any, Protocol

import attrs
from sqlalchemy import Connection, Row, delete, null, select, update

from common.errors import NotFound, Refused
from regiond.store import changes
from regiond.store.tables import certificate, rack, token


@attrs.frozen
class Rack:
    """A rack and what it last said.

    ``problem`` is an error object, or None when all is well. ``selections`` is what it is
    restricted to, or None for everything. A ``canary`` gets new versions first. ``seen_by``
    is the region that it reported to last.
    """

    id: int
    name: str
    state: str
    created_at: float
    last_seen_at: float | None
    held_digest: str
    held_generation: int
    last_sync_at: float | None
    problem: dict[str, str] | None
    selections: list[str] | None = None
    canary: bool = False
    seen_by: str | None = None


@attrs.frozen
class Certified:
    """The rack behind a certificate, and the key that the certificate is for."""

    id: int
    name: str
    selections: list[str] | None
    serial: str
    spki_sha256: str


class Certificate(Protocol):
    """A client certificate: serial and SPKI digest in hexadecimal, end in epoch seconds."""

    @property
    def serial(self) -> str:
        """Its serial number."""

    @property
    def spki_sha256(self) -> str:
        """Of its key."""

    @property
    def not_after(self) -> float:
        """When it ends."""

    @property
    def pem(self) -> bytes:
        """All of it."""


@attrs.frozen
class StoredCertificate:
    """A certificate as it was issued."""

    serial: str
    spki_sha256: str
    not_after: float
    pem: bytes


# Enrolment


def create_token(
    conn: Connection, secret_sha256: str, name: str, expires_at: float, now: float
) -> None:
    """Let a machine enrol as ``name``, once. Expired tokens are forgotten on the way."""
    conn.execute(delete(token).where(token.c.expires_at <= now, token.c.used_at.is_(None)))
    conn.execute(
        token.insert().values(
            secret_sha256=secret_sha256, name=name, created_at=now, expires_at=expires_at
        )
    )


def redeem_token(  # noqa: PLR0917 - the parts of one request, in the order of the protocol
    conn: Connection,
    secret_sha256: str,
    spki_sha256: str,
    name: str,
    now: float,
    issue: Callable[[str], Certificate],
) -> Certificate:
    """The certificate for a secret and a key.

    The first key that asks gets one from ``issue(name)``; the same key gets the same one
    again, so that a lost answer can be asked for again. Older certificates of that rack
    are revoked, and a deleted rack is active again. ``name`` is what the machine calls
    itself; "" for whatever the token says.

    Raises:
        Refused: codes token-unknown, token-expired, token-used, token-wrong-name.
    """
    row = conn.execute(select(token).where(token.c.secret_sha256 == secret_sha256)).one_or_none()
    if row is None:
        raise _refused("is not known here", "unknown")
    if name not in {"", row.name}:
        raise _refused(f"is for another rack than {name}", "wrong-name")
    if row.used_at is not None:
        return _same_again(conn, row, spki_sha256)
    if row.expires_at <= now:
        raise _refused("has expired", "expired")
    issued = issue(row.name)
    rack_id = _active_rack(conn, row.name, now)
    _revoke_all(conn, rack_id, now)
    conn.execute(
        certificate.insert().values(
            serial=issued.serial,
            rack_id=rack_id,
            spki_sha256=issued.spki_sha256,
            not_after=issued.not_after,
            pem=issued.pem,
        )
    )
    conn.execute(
        update(token)
        .where(token.c.secret_sha256 == secret_sha256)
        .values(used_at=now, used_by_spki=spki_sha256, serial=issued.serial)
    )
    changes.record(conn, "rack", row.name, now)
    return issued


def _same_again(conn: Connection, row: Row[Any], spki_sha256: str) -> Certificate:
    kept = conn.execute(
        select(certificate).where(
            certificate.c.serial == row.serial, certificate.c.revoked_at.is_(None)
        )
    ).one_or_none()
    if row.used_by_spki != spki_sha256 or kept is None:
        raise _refused("was used already", "used")
    return StoredCertificate(kept.serial, kept.spki_sha256, kept.not_after, bytes(kept.pem))


def _refused(what: str, code: str) -> Refused:
    return Refused(
        f"the token {what}",
        object="token",
        code=f"token-{code}",
        remedy="make a new one on the region: rack-controllers create-token name=NAME",
    )


def _active_rack(conn: Connection, name: str, now: float) -> int:
    found = conn.execute(select(rack.c.id).where(rack.c.name == name)).scalar_one_or_none()
    if found is not None:
        conn.execute(update(rack).where(rack.c.id == found).values(state="active"))
        return int(found)
    added = conn.execute(
        rack.insert().values(
            name=name, state="active", created_at=now, held_digest="", held_generation=0
        )
    )
    (id,) = added.inserted_primary_key or (0,)  # noqa: A001
    return int(id)


# Racks


def rack_by_serial(conn: Connection, serial: str) -> Certified | None:
    """The active rack with that certificate; None if revoked, deleted or unknown."""
    row = conn.execute(
        select(
            rack.c.id,
            rack.c.name,
            rack.c.selections,
            certificate.c.serial,
            certificate.c.spki_sha256,
        )
        .join(certificate, certificate.c.rack_id == rack.c.id)
        .where(
            certificate.c.serial == serial,
            certificate.c.revoked_at.is_(None),
            rack.c.state == "active",
        )
    ).one_or_none()
    return None if row is None else Certified(**row._asdict())


def rack_named(conn: Connection, name: str) -> Rack:
    """An active rack.

    Raises:
        NotFound: no such rack.
    """
    row = conn.execute(
        select(rack).where(rack.c.name == name, rack.c.state == "active")
    ).one_or_none()
    if row is None:
        raise _no_rack(name)
    return _rack(row)


def list_racks(conn: Connection) -> tuple[Rack, ...]:
    """The active racks, by name."""
    rows = conn.execute(select(rack).where(rack.c.state == "active").order_by(rack.c.name))
    return tuple(_rack(row) for row in rows)


def delete_rack(conn: Connection, name: str, now: float) -> tuple[str, ...]:
    """Refuse a rack from now on; returns the serials of the certificates this revoked.

    Raises:
        NotFound: no such rack.
    """
    found = rack_named(conn, name)
    conn.execute(
        update(rack)
        .where(rack.c.id == found.id)
        .values(state="deleted", selections=null(), canary=False)
    )
    conn.execute(delete(token).where(token.c.name == name, token.c.used_at.is_(None)))
    revoked = _revoke_all(conn, found.id, now)
    changes.record(conn, "rack", name, now)
    return revoked


def set_selections(
    conn: Connection, name: str, selections: Collection[str] | None, now: float
) -> None:
    """Restrict a rack; None lets it hold everything again.

    Raises:
        NotFound: no such rack.
    """
    found = rack_named(conn, name)
    wanted = null() if selections is None else list(selections)
    conn.execute(update(rack).where(rack.c.id == found.id).values(selections=wanted))
    changes.record(conn, "rack", name, now)


def report_sync(  # noqa: PLR0917 - the parts of one report, in the order of the protocol
    conn: Connection,
    name: str,
    generation: int,
    held: str,
    problem: dict[str, str] | None,
    now: float,
    region: str | None = None,
) -> None:
    """Keep how a rack's sync ended; ``held`` is the digest it now holds complete, or "".

    ``region`` is who was told.
    """
    values: dict[str, Any] = {
        "held_digest": held,
        "held_generation": generation if held else 0,
        "problem": problem,
        "last_seen_at": now,
        "seen_by": region,
    }
    if problem is None:
        values["last_sync_at"] = now
    conn.execute(update(rack).where(rack.c.name == name).values(**values))


def _revoke_all(conn: Connection, rack_id: int, now: float) -> tuple[str, ...]:
    valid = (certificate.c.rack_id == rack_id) & certificate.c.revoked_at.is_(None)
    serials = tuple(conn.execute(select(certificate.c.serial).where(valid)).scalars())
    conn.execute(update(certificate).where(valid).values(revoked_at=now))
    return serials


def _no_rack(name: str) -> NotFound:
    return NotFound(
        "there is no such rack",
        object=f"rack {name}",
        code="rack-unknown",
        remedy="rack-controllers read lists them",
    )


def _rack(row: Row[Any]) -> Rack:
    return Rack(**{field.name: getattr(row, field.name) for field in attrs.fields(Rack)})
