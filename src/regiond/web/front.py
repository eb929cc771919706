"""The front desk: which page a request is for, and whether it may have it.

Without a session there is the login, and with ``web_read_only`` the pages without forms. All
that changes something is a POST (``changes``), from a page of ours, with the session's token.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from twisted.logger import Logger

from common.errors import NotFound, RackferryError, Refused, TooOften, door_of
from regiond.attempts import AttemptRate
from regiond.web.changes import Changes
from regiond.web.guard import Asked, Outside, demand_token
from regiond.web.live import Live
from regiond.web.people import Reply, redirect
from regiond.web.rendering import Frame, Notice, Page, Templates
from regiond.web.static_files import load_static
from regiond.web_sessions import WebSession, WebSessions

TITLES: Mapping[str, str] = {"/": "Images", "/racks": "Racks", "/events": "Events"}
PATHS = (*TITLES, "/login", "/logout", "/live", "/delete", "/import", "/stop", "/automatic",
         "/source", "/selection", "/static")  # fmt: skip
"""What is answered here: the first part of each path."""
RETRY_AFTER_S = 5

_log = Logger()


class Front:
    """Answers people.

    Args:
        region: its name.
        templates, live: what they see.
        changes: what they can do.
        sessions: who they are.
        outside: how they reach us.
        read_only: whether pages are shown without a login.
        clock: monotonic seconds, for attempts to log in.
    """

    def __init__(
        self,
        *,
        region: str,
        templates: Templates,
        live: Live,
        changes: Changes,
        sessions: WebSessions,
        outside: Outside,
        read_only: bool,
        clock: Callable[[], float],
    ) -> None:
        self._region = region
        self._templates = templates
        self._live = live
        self._changes = changes
        self._sessions = sessions
        self._outside = outside
        self._read_only = read_only
        self._clock = clock
        self._static = load_static()
        self._attempts = AttemptRate(_too_often)

    async def answer(self, asked: Asked) -> Reply:
        """One request; a refusal is a page, too."""
        session: WebSession | None = None
        if asked.path in self._static:
            return self._file(asked)
        try:
            session = await self._sessions.find(asked.secret)
            if asked.method == "POST":
                return await self._post(asked, session)
            if asked.method == "GET":
                return await self._get(asked, session)
            raise Refused("only GET, HEAD and POST", object=asked.path, code="web-method")
        except RackferryError as error:
            return self._refusal(asked, session, error)

    def _file(self, asked: Asked) -> Reply:
        file = self._static[asked.path]
        headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
        if file.etag in asked.if_none_match:
            return Reply(304, b"", file.content_type, headers)
        return Reply(200, file.content, file.content_type, headers)

    def _refusal(self, asked: Asked, session: WebSession | None, error: RackferryError) -> Reply:
        more = {"error": error, "back": "/" if session or self._read_only else "/login"}
        page = Page("Refused", "refused.html", more=more)
        later = {"Retry-After": str(RETRY_AFTER_S)} if isinstance(error, TooOften) else {}
        return self._reply(asked, session, page, status=door_of(error).http_status, headers=later)

    def _reply(
        self,
        asked: Asked,
        session: WebSession | None,
        page: Page,
        *,
        notice: str = "",
        status: int = 200,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Reply:
        frame = Frame(
            self._region,
            session.name if session else "",
            asked.secret if session else "",
            self._read_only and session is None,
            Notice.parse(notice),
        )
        return Reply(status, self._templates.whole(page, frame), headers=headers)

    # To look at

    async def _get(self, asked: Asked, session: WebSession | None) -> Reply:
        may_look = session is not None or self._read_only
        if asked.path == "/login" or (asked.path in TITLES and not may_look):
            return self._login_page(asked)
        if asked.path == "/live":
            return self._watch(asked, session)
        if asked.path == "/delete" and session is not None:
            return self._reply(asked, session, await self._changes.confirmation(asked))
        if asked.path not in TITLES:
            raise NotFound("there is no such page", object=asked.path, code="web-page")
        logged_in = session is not None
        page = await self._live.page(TITLES[asked.path], asked.query, logged_in=logged_in)
        notice = "" if session is None else await self._sessions.take_notice(session)
        return self._reply(asked, session, page, notice=notice)

    def _login_page(self, asked: Asked, failure: str = "", status: int = 200) -> Reply:
        page = Page("Log in", "login.html", more={"failure": failure})
        return self._reply(asked, None, page, status=status)

    def _watch(self, asked: Asked, session: WebSession | None) -> Reply:
        title = asked.query.get("page", "")
        if session is None and not self._read_only:
            raise _not_logged_in(asked)
        if title not in TITLES.values():
            raise NotFound("there is no such page", object=title[:80], code="web-page")
        self._live.admit()
        query = {name: asked.query[name] for name in ("level", "open") if name in asked.query}
        headers = {"X-Accel-Buffering": "no"}
        seen = asked.query.get("seen", "")
        return Reply(
            content_type="text/event-stream",
            headers=headers,
            stream=lambda request: self._live.watch(
                request, title, query, session, asked.secret, seen=seen
            ),
        )

    # To do

    async def _post(self, asked: Asked, session: WebSession | None) -> Reply:
        self._outside.demand_own_form(asked)
        if asked.path == "/login":
            return await self._log_in(asked)
        if session is None:
            raise _not_logged_in(asked)
        demand_token(asked)
        if asked.path == "/logout":
            await self._sessions.log_out(session)
            return redirect("/login", {"Set-Cookie": self._outside.cookie("", asked.host)})
        outcome = await self._changes.do(asked, f"web session of {session.name}")
        if isinstance(outcome, Page):  # what was typed, and why it will not do
            self._live.remember(outcome)
            return self._reply(asked, session, outcome, status=422)
        await self._sessions.leave_notice(session, outcome.text)
        return redirect("/")

    async def _log_in(self, asked: Asked) -> Reply:
        # All together, and no address by itself: behind a proxy everybody has the proxy's. A
        # secret of 256 bits is not guessed, however many try.
        self._attempts.admit(asked.address, self._clock())
        code = asked.field("code").rpartition("#")[2]
        try:
            secret, session = await self._sessions.log_in(code)
        except Refused as error:
            _log.info("{address} did not log in", address=asked.address)
            return self._login_page(asked, error.line(), 403)
        _log.info("{name} logged in from {address}", name=session.name, address=asked.address)
        return redirect("/", {"Set-Cookie": self._outside.cookie(secret, asked.host)})


def _too_often(_: str) -> TooOften:
    return TooOften(
        "too many attempts to log in",
        object="login",
        code="web-login-too-often",
        remedy="try again in a few seconds",
    )


def _not_logged_in(asked: Asked) -> Refused:
    return Refused(
        "nobody is logged in here",
        object=asked.path,
        code="web-session",
        remedy="open a link from: rackferry web-login",
    )
