"""Open pages are kept up to date: server-sent events with what has changed.

A page is built at most twice a second, once for all that look at it, and only while somebody
looks and something moves. Each browser gets what differs from what it got last, the first
time from the page itself: a page says its revision, and the last ones are remembered. So
whoever reads slowly, or comes back, gets the present state in one piece and nothing of the
past; more than one message never waits for anybody.
"""

import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from zope.interface import implementer

from common.errors import Busy, RackferryError
from regiond.web.differences import difference
from regiond.web.rendering import Page, with_token
from regiond.web_sessions import WebSession

TICK_S = 0.5
MOVING_S = 1.0
HEARTBEAT_S = 15.0
MOST_WATCHERS = 200
MOST_REMEMBERED = 16
REST = 4.0
"""After the work of building pages, so many times as long nothing is built."""

_log = Logger()

Build = Callable[..., Awaitable[Page]]
"""``build(title, query, logged_in=...)``: a page as it is now."""

_Look = tuple[str, tuple[tuple[str, str], ...], bool]


@attrs.frozen
class _Moment:
    """When something was looked at: after how many changes, and how the pulse was."""

    changes: int
    pulse: object


@attrs.frozen
class _Shown:
    """A page as it was then; ``at`` None: it is out of date in any case."""

    page: Page
    at: _Moment | None


_NOTHING = _Shown(Page("", ""), None)


@implementer(IPushProducer)
@attrs.define(eq=False)
class Watcher:
    """One browser that looks at a page.

    Attributes:
        look: at which page, with which query, and whether somebody is logged in.
        session: whose it is; None where no login is needed.
        secret: of that session, for its forms.
        shown: what it has.
        is_ready: whether it has read what came before.
    """

    request: Request
    look: _Look
    session: WebSession | None
    secret: str = attrs.field(repr=False)
    shown: _Shown
    is_ready: bool = True

    def show(self, shown: _Shown) -> None:
        """Send what is new to this browser."""
        said = difference(self.shown.page, shown.page)
        self.shown = shown
        if said:
            said["set"] = {
                name: with_token(html, self.secret) for name, html in said["set"].items()
            }
            self.send(f"data: {json.dumps(said)}\n\n")

    def send(self, text: str) -> None:
        """Some text of the stream."""
        self.request.write(text.encode())

    def pauseProducing(self) -> None:
        """It reads more slowly than we write (called by Twisted)."""
        self.is_ready = False

    def resumeProducing(self) -> None:
        """It has read all there was (called by Twisted)."""
        self.is_ready = True

    def stopProducing(self) -> None:
        """It has left (called by Twisted)."""
        self.is_ready = False


class Live(Service):
    """All browsers that look at a page.

    Args:
        build: makes a page.
        is_alive: whether a session goes on.
        pulse: another value whenever something moves of which ``note_change`` is not told.
        clock: for everything.
    """

    def __init__(
        self,
        build: Build,
        is_alive: Callable[[WebSession], Awaitable[bool]],
        pulse: Callable[[], object],
        clock: IReactorTime,
    ) -> None:
        self._build = build
        self._is_alive = is_alive
        self._pulse = pulse
        self._clock = clock
        self._watchers: list[Watcher] = []
        self._remembered: OrderedDict[str, _Shown] = OrderedDict()
        self._changes = 0
        self._shown_s = 0.0
        self._checked_s = 0.0
        self._rested_s = 0.0
        self._working: Deferred[None] = succeed(None)
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = clock

    def stopService(self) -> Deferred[None]:
        """Send everybody away; browsers come back by themselves."""
        super().stopService()
        for watcher in tuple(self._watchers):
            self._let_go(watcher)
        if self._ticking.running:
            self._ticking.stop()
        self._working.cancel()
        return self._working

    def note_change(self) -> None:
        """Something that a page shows has changed."""
        self._changes += 1

    async def page(self, title: str, query: Mapping[str, str], *, logged_in: bool) -> Page:
        """A page as it is now; a browser that then watches it is not sent the same again."""
        moment = self._moment()
        page = await self._build(title, query, logged_in=logged_in)
        if page.live:
            self._remember(_Shown(page, moment))
        return page

    def remember(self, page: Page) -> None:
        """A browser has this page, which may be out of date already."""
        self._remember(_Shown(page, None))

    def _moment(self) -> _Moment:
        return _Moment(self._changes, self._pulse())

    def _remember(self, shown: _Shown) -> None:
        revision = shown.page.revision
        self._remembered[revision] = shown
        self._remembered.move_to_end(revision)
        while len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)

    def admit(self) -> None:
        """Refuse one browser too many.

        Raises:
            Busy: code ``web-watchers``.
        """
        if len(self._watchers) >= MOST_WATCHERS:
            raise Busy(
                f"{MOST_WATCHERS} pages are open already",
                object="live",
                code="web-watchers",
                remedy="close some; a page that is loaded anew is up to date, too",
            )

    def watch(
        self,
        request: Request,
        title: str,
        query: Mapping[str, str],
        session: WebSession | None,
        secret: str,
        *,
        seen: str,
    ) -> None:
        """Begin a stream for a browser.

        Args:
            request: of the browser.
            title: of the page.
            query: as it was asked for.
            session: whose it is.
            secret: of that session.
            seen: the revision that it has; without one that is remembered it is sent all.
        """
        look = (title, tuple(sorted(query.items())), session is not None)
        shown = self._remembered.get(seen, _NOTHING)
        watcher = Watcher(request, look, session, secret, shown)
        self._watchers.append(watcher)
        request.notifyFinish().addBoth(lambda _: self._left(watcher))
        request.registerProducer(watcher, True)
        watcher.send(":\n\n")
        if not self._ticking.running:
            self._checked_s = self._clock.seconds()
            self._ticking.start(TICK_S).addErrback(_broken)

    def _left(self, watcher: Watcher) -> None:
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def _tick(self) -> Deferred[None]:
        if not self._watchers:
            # Only here: stopped and begun again in the middle of a turn, there would be two.
            self._ticking.stop()
            return succeed(None)
        self._working = Deferred.fromCoroutine(self._look_around())
        self._working.addErrback(_cancelled)
        return self._working

    async def _look_around(self) -> None:
        now_s = self._clock.seconds()
        if now_s - self._checked_s >= HEARTBEAT_S:
            self._checked_s = now_s
            await self._check_sessions()
            self.note_change()  # a rack is silent by time alone
        moment = self._moment()
        looks = {each.look for each in self._watchers if self._is_behind(each, moment, now_s)}
        if looks and now_s >= self._rested_s:
            self._shown_s = now_s
            await self._show(looks, moment)
            ended_s = self._clock.seconds()
            self._rested_s = ended_s + REST * (ended_s - now_s)

    def _is_behind(self, watcher: Watcher, moment: _Moment, now_s: float) -> bool:
        had = watcher.shown.at
        if not watcher.is_ready or had == moment:
            return False
        is_changed = had is None or had.changes != moment.changes
        return is_changed or now_s - self._shown_s >= MOVING_S

    async def _show(self, looks: Collection[_Look], moment: _Moment) -> None:
        for look in looks:
            title, query, logged_in = look
            try:
                page = await self._build(title, dict(query), logged_in=logged_in)
            except RackferryError as error:
                _log.warn("an open page was not brought up to date: {why}", why=error.line())
                for watcher in self._watchers_of(look):  # the next change is another try
                    watcher.shown = attrs.evolve(watcher.shown, at=moment)
                continue
            shown = _Shown(page, moment)
            self._remember(shown)
            for watcher in self._watchers_of(look):
                watcher.show(shown)

    def _watchers_of(self, look: _Look) -> list[Watcher]:
        return [each for each in self._watchers if each.look == look and each.is_ready]

    async def _check_sessions(self) -> None:
        for watcher in tuple(self._watchers):
            if watcher.session is not None and not await self._is_alive(watcher.session):
                watcher.send("event: ended\ndata:\n\n")
                self._let_go(watcher)
            elif watcher.is_ready:
                watcher.send(":\n\n")

    def _let_go(self, watcher: Watcher) -> None:
        if watcher in self._watchers:
            self._left(watcher)
            watcher.request.unregisterProducer()
            watcher.request.finish()


def _cancelled(failure: Failure) -> None:
    failure.trap(CancelledError)


def _broken(failure: Any) -> None:
    _log.failure("open pages are not brought up to date any more", failure)
