"""The answer to who wants to use the page."""

from collections.abc import Callable
from typing import Any

from common.vocabulary import Question
from regiond.admin.asked import Tell
from regiond.web_sessions import WebSessions


class WebAnswers:
    """What is answered about the page.

    Args:
        sessions: of the page.
        address: where people reach the page, without a path.
    """

    def __init__(self, sessions: WebSessions, address: Callable[[], str]) -> None:
        self._sessions = sessions
        self._address = address

    async def web_login(self, question: Question, _: Tell) -> Any:
        secret, expires_at = await self._sessions.create_link(_name_of(question.asker))
        # After the #, so that no request that only looks at the link carries the secret.
        return {"url": f"{self._address()}/login#{secret}", "expires_at": expires_at}


def _name_of(asker: str) -> str:
    """Whose the session is: the user, without the process that asked for the link."""
    return asker.partition(" (")[0] or "somebody"
