"""Open pages are kept up to date: server-sent events with what has changed.

    data: {"set": {"image-1f...": "<tr ...>"}, "rows": {"images": ["image-1f...", ...]}}

A page is built at most twice a second, once for all that look at it, and only while somebody
looks and something moves. Each browser gets what differs from what it got last, so whoever
reads slowly, or comes back, gets the present state in one piece and nothing of the past;
more than one message never waits for anybody.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
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
from regiond.web.rendering import Page, with_token
from regiond.web_sessions import WebSession

TICK_S = 0.5
MOVING_S = 1.0
HEARTBEAT_S = 15.0
MOST_WATCHERS = 200
REST = 4.0
"""After the work of building pages, so many times as long nothing is built."""

_log = Logger()

Build = Callable[..., Awaitable[Page]]
"""``build(title, query, logged_in=...)``: a page as it is now."""

_Look = tuple[str, tuple[tuple[str, str], ...], bool]


@implementer(IPushProducer)
@attrs.define(eq=False)
class Watcher:
    """One browser that looks at a page.

    Attributes:
        look: at which page, with which query, and whether somebody is logged in.
        session: whose it is; None where no login is needed.
        secret: of that session, for its forms.
        on_ready: called when it has read what came before.
    """

    request: Request
    look: _Look
    session: WebSession | None
    secret: str = attrs.field(repr=False)
    on_ready: Callable[[], None]
    is_ready: bool = True
    _sent: dict[str, str] = attrs.field(factory=dict)
    _order: dict[str, list[str]] = attrs.field(factory=dict)

    def show(self, page: Page) -> None:
        """Send what is new to this browser, unless it has not read what came before."""
        if not self.is_ready:
            return
        now = dict(page.parts)
        for rows in page.rows.values():
            now |= rows
        fresh = {
            name: with_token(html, self.secret)
            for name, html in now.items()
            if self._sent.get(name) != html
        }
        order = {name: list(rows) for name, rows in page.rows.items()}
        moved = {name: ids for name, ids in order.items() if self._order.get(name) != ids}
        if fresh or moved:
            self._sent, self._order = {name: str(html) for name, html in now.items()}, order
            self.send(f"data: {json.dumps({'set': fresh, 'rows': moved})}\n\n")

    def send(self, text: str) -> None:
        """Some text of the stream."""
        self.request.write(text.encode())

    def pauseProducing(self) -> None:
        """It reads more slowly than we write (called by Twisted)."""
        self.is_ready = False

    def resumeProducing(self) -> None:
        """It has read all there was (called by Twisted)."""
        self.is_ready = True
        self.on_ready()

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
        self._has_changed = False
        self._shown: object = None
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
        self._has_changed = True

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
    ) -> None:
        """Begin a stream for a browser; its first message is the whole page."""
        look = (title, tuple(sorted(query.items())), session is not None)
        watcher = Watcher(request, look, session, secret, self.note_change)
        self._watchers.append(watcher)
        request.notifyFinish().addBoth(lambda _: self._left(watcher))
        request.registerProducer(watcher, True)
        watcher.send("retry: 2000\n\n")
        self._has_changed = True
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
            self._has_changed = True
        pulse = self._pulse()
        has_moved = pulse != self._shown and now_s - self._shown_s >= MOVING_S
        if (self._has_changed or has_moved) and now_s >= self._rested_s:
            self._has_changed, self._shown, self._shown_s = False, pulse, now_s
            await self._show()
            ended_s = self._clock.seconds()
            self._rested_s = ended_s + REST * (ended_s - now_s)

    async def _show(self) -> None:
        for look in {watcher.look for watcher in self._watchers}:
            title, query, logged_in = look
            try:
                page = await self._build(title, dict(query), logged_in=logged_in)
            except RackferryError as error:
                _log.warn("an open page was not brought up to date: {why}", why=error.line())
                continue
            for watcher in tuple(self._watchers):
                if watcher.look == look:
                    watcher.show(page)

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
