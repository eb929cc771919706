"""Who may use the page: one-time links and sessions, by the SHA-256 of their secrets.

They are in the database so that a link works, and a session goes on, at every region and
after a restart. The secrets themselves are kept nowhere.
"""

import attrs
from sqlalchemy import Connection, delete, select, update

from common.errors import Refused
from regiond.store.tables import web_link, web_session


@attrs.frozen
class WebSession:
    """A session of the page. ``name`` is whose it is; times are seconds since the epoch.

    ``notice`` is what its next page says, once; "" is nothing.
    """

    sha256: str
    name: str
    created_at: float
    seen_at: float
    notice: str = ""


def add_link(conn: Connection, sha256: str, name: str, expires_at: float, now: float) -> None:
    """Keep a link that was made for ``name``; those that have expired go."""
    conn.execute(delete(web_link).where(web_link.c.expires_at <= now))
    conn.execute(web_link.insert().values(sha256=sha256, name=name, expires_at=expires_at))


def redeem_link(
    conn: Connection, sha256: str, session_sha256: str, now: float, *, idle_since: float
) -> WebSession:
    """Begin a session with a link, which is used up; sessions idle since then go.

    Raises:
        Refused: code ``web-login``; there is no such link, or not any more.
    """
    wanted = (web_link.c.sha256 == sha256) & (web_link.c.expires_at > now)
    name = conn.execute(select(web_link.c.name).where(wanted)).scalar_one_or_none()
    # Of two that redeem it at once, one deletes it.
    if name is None or conn.execute(delete(web_link).where(wanted)).rowcount != 1:
        raise Refused(
            "this link was used already, has expired, or never was one",
            object="login",
            code="web-login",
            remedy="ask for another: rackferry web-login",
        )
    conn.execute(delete(web_session).where(web_session.c.seen_at <= idle_since))
    made = WebSession(session_sha256, name, now, now)
    conn.execute(web_session.insert().values(**attrs.asdict(made)))
    return made


def find_session(conn: Connection, sha256: str, idle_since: float) -> WebSession | None:
    """The session, unless it has been idle since then."""
    row = conn.execute(
        select(web_session).where(
            web_session.c.sha256 == sha256, web_session.c.seen_at > idle_since
        )
    ).one_or_none()
    return None if row is None else WebSession(**row._asdict())


def touch_session(conn: Connection, sha256: str, now: float) -> None:
    """Its person did something."""
    conn.execute(update(web_session).where(web_session.c.sha256 == sha256).values(seen_at=now))


def leave_notice(conn: Connection, sha256: str, notice: str) -> None:
    """Let the session's next page say that; it takes the place of one that nobody has read."""
    conn.execute(update(web_session).where(web_session.c.sha256 == sha256).values(notice=notice))


def take_notice(conn: Connection, sha256: str) -> str:
    """What the session's next page is to say; it is gone then."""
    wanted = web_session.c.sha256 == sha256
    found = conn.execute(select(web_session.c.notice).where(wanted)).scalar_one_or_none()
    if found:
        conn.execute(update(web_session).where(wanted).values(notice=""))
    return found or ""


def end_session(conn: Connection, sha256: str) -> None:
    """Its person logged out."""
    conn.execute(delete(web_session).where(web_session.c.sha256 == sha256))
