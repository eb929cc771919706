"""Who may use the page: a link that works once, and the session that it begins.

Use-cases behind ``rackferry web-login`` and the page itself. A link is good for ten minutes
and one use, a session until it has been idle for twelve hours; both have a secret of 256
bits of which only the SHA-256 is kept.
"""

import base64
import hashlib
from collections.abc import Callable

import attrs

from regiond.store import web_logins
from regiond.store.database import Database
from regiond.store.web_logins import WebSession

__all__ = ("IDLE_LIMIT_S", "LINK_LIFETIME_S", "WebSession", "WebSessions", "secret_name")

SECRET_BYTES = 32
LINK_LIFETIME_S = 600.0
IDLE_LIMIT_S = 12 * 3600.0
TOUCH_INTERVAL_S = 300.0
"""Whoever is at work is noted this often, and not with each click."""


class WebSessions:
    """The use-cases.

    Args:
        database: the store.
        now: seconds since the epoch.
        random_bytes: as ``os.urandom``.
    """

    def __init__(
        self,
        database: Database,
        now: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._now = now
        self._random_bytes = random_bytes

    async def create_link(self, name: str) -> tuple[str, float]:
        """A secret for a link that lets ``name`` in, and when it expires."""
        secret, now = self._new_secret(), self._now()
        expires_at = now + LINK_LIFETIME_S
        await self._database.write(web_logins.add_link, secret_name(secret), name, expires_at, now)
        return secret, expires_at

    async def log_in(self, link_secret: str) -> tuple[str, WebSession]:
        """Begin a session with a link; the session's secret, and the session.

        Raises:
            Refused: code ``web-login``; the link is worth nothing (any more).
        """
        secret, now = self._new_secret(), self._now()
        session = await self._database.write(
            web_logins.redeem_link,
            secret_name(link_secret),
            secret_name(secret),
            now,
            idle_since=now - IDLE_LIMIT_S,
        )
        return secret, session

    async def find(self, secret: str) -> WebSession | None:
        """The session with that secret, whose person is there just now; None if it has ended."""
        if not secret:
            return None
        now = self._now()
        session = await self._find(secret_name(secret))
        if session is not None and now - session.seen_at >= TOUCH_INTERVAL_S:
            await self._database.write(web_logins.touch_session, session.sha256, now)
            return attrs.evolve(session, seen_at=now)
        return session

    async def is_alive(self, session: WebSession) -> bool:
        """Whether a session goes on; a page that is merely open does not keep it alive."""
        return await self._find(session.sha256) is not None

    async def leave_notice(self, session: WebSession, notice: str) -> None:
        """Let the session's next page say that, on whichever region."""
        await self._database.write(web_logins.leave_notice, session.sha256, notice)

    async def take_notice(self, session: WebSession) -> str:
        """What the session's next page is to say; "" the second time."""
        if not session.notice:
            return ""
        return await self._database.write(web_logins.take_notice, session.sha256)

    async def log_out(self, session: WebSession) -> None:
        """End a session, on every region."""
        await self._database.write(web_logins.end_session, session.sha256)

    async def _find(self, sha256: str) -> WebSession | None:
        return await self._database.read(
            web_logins.find_session, sha256, self._now() - IDLE_LIMIT_S
        )

    def _new_secret(self) -> str:
        secret = self._random_bytes(SECRET_BYTES)
        return base64.urlsafe_b64encode(secret).decode("ascii").rstrip("=")


def secret_name(secret: str) -> str:
    """Under which name a secret is kept: lower-case hexadecimal."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
