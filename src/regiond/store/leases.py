"""Leases: what only one region may do at a time, and the fencing tokens that enforce it.

The token grows with each grant and is carried by every write made under the lease, so
that a holder that slept through its lease cannot write over its successor.
"""

from sqlalchemy import Connection, select, update

from regiond.store.tables import lease


def acquire(conn: Connection, name: str, holder: str, now: float, ttl_s: float) -> int | None:
    """The lease and its new fencing token; None while somebody else holds it.

    A holder that asks again (it was restarted) gets it again, with a new token.
    """
    row = conn.execute(select(lease).where(lease.c.name == name)).one_or_none()
    if row is None:
        conn.execute(
            lease.insert().values(name=name, holder=holder, token=1, expires_at=now + ttl_s)
        )
        return 1
    if row.holder not in {"", holder} and row.expires_at > now:
        return None
    token = int(row.token) + 1
    conn.execute(
        update(lease)
        .where(lease.c.name == name)
        .values(holder=holder, token=token, expires_at=now + ttl_s)
    )
    return token


def renew(conn: Connection, name: str, token: int, now: float, ttl_s: float) -> bool:
    """Keep the lease for another ``ttl_s``; False if it was granted to somebody else since."""
    renewed = conn.execute(
        update(lease)
        .where(lease.c.name == name, lease.c.token == token, lease.c.holder != "")
        .values(expires_at=now + ttl_s)
    )
    return renewed.rowcount == 1


def release(conn: Connection, name: str, token: int) -> None:
    """Give the lease back, if it is still ours."""
    conn.execute(
        update(lease)
        .where(lease.c.name == name, lease.c.token == token)
        .values(holder="", expires_at=0.0)
    )
