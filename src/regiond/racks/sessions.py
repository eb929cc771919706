"""Control sessions: racks that are connected now, and what they may ask.

Who a rack is, its certificate alone says; that it may still come in, the fleet says,
anew for each command, so that a deleted rack is refused from its next word on.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger

from common.canonical import canonical_json
from common.commands import (
    PROTOCOL_VERSION,
    CurrentView,
    Hello,
    Ping,
    ReadBlob,
    ReadDocument,
    ReportProgress,
    ReportSync,
    SyncNow,
    ViewChanged,
)
from common.conversation import SERVER, Conversation, Table, pong
from common.errors import ProtocolError, RackferryError, Refused
from common.regions import RegionEndpoint
from common.serving import ByteSource
from common.throttle import Throttle
from regiond.pieces import Pieces
from regiond.racks.fleet import Fleet, RackIdentity, rack_of
from regiond.racks.images import visible

ANNOUNCE_DELAY_S = 0.2
NOTICE_TIMEOUT_S = 10.0
MOST_WAIT_S = 0.5
"""How long an answer is held back, if less is allowed than was asked for.

A rack that knows other regions leaves after 3 s of silence, and one that begins a file waits
for those of its reads that are before it.
"""

MAX_SESSIONS_PER_RACK = 4
MAX_STRANGERS = 256

_log = Logger()


class Session:
    """One connected rack."""

    def __init__(self, sessions: "Sessions", peer: str) -> None:
        self._sessions = sessions
        self._fleet = sessions.fleet
        self._pieces = Pieces(self._visible, sessions.clock, self._pace)
        self.rack: RackIdentity | None = None
        self.conversation = Conversation(
            self.table(),
            sessions.clock,
            attrs.evolve(SERVER, first=Hello),
            peer=peer,
            on_lost=self._lost,
        )

    def table(self) -> Table:
        """All that a rack may say."""
        return {
            Hello: self.hello,
            Ping: self.ping,
            CurrentView: self.current_view,
            ReadDocument: self.read_document,
            ReadBlob: self._pieces.read,
            ReportProgress: self.report_progress,
            ReportSync: self.report_sync,
        }

    async def _authorised(self) -> RackIdentity:
        try:
            rack = await rack_of(self._fleet, self.conversation.transport)
        except Refused:
            # The refusal still goes out; it is the last thing that does.
            self.conversation.is_ending = True
            raise
        await self._fleet.seen(rack)
        return rack

    async def _visible(self, sha256: str, of_digests: bool) -> ByteSource:
        rack = await self._authorised()
        return await visible(self._fleet, rack, sha256, of_digests=of_digests)

    async def _pace(self, most_bytes: int) -> int:
        throttle, rack = self._sessions.throttle, self.rack
        size_bytes = await throttle.allowed_within(
            MOST_WAIT_S, most_bytes, rack.name if rack else ""
        )
        if rack is not None:
            self._fleet.sent(rack, size_bytes)
        return size_bytes

    async def hello(
        self, version: str, protocol: int, now: float | None = None
    ) -> Mapping[str, Any]:
        """Who are you, and where are your regions?"""
        rack = await self._authorised()
        if protocol != PROTOCOL_VERSION:
            raise ProtocolError(
                f"rack {rack.name} (version {version}) speaks protocol {protocol}, "
                f"this region {PROTOCOL_VERSION}",
                object=rack.name,
                code="protocol-version",
                remedy="install the same release on both",
            )
        self.rack = rack
        self._sessions.joined(self)
        if now is not None:
            await self._fleet.greeted(rack, now)
        return {**self._sessions.greeting(), "rack_name": rack.name}

    async def ping(self) -> Mapping[str, Any]:
        """Are you there?"""
        await self._authorised()
        return await pong()

    async def current_view(self, held: str) -> Mapping[str, Any]:
        """What am I to hold?"""
        generation, digest = await self._fleet.current_view(await self._authorised(), held)
        return {"generation": generation, "digest": digest}

    async def read_document(self, sha256: str, offset: int) -> Mapping[str, Any]:
        """Give me a piece of that document."""
        rack = await self._authorised()
        piece, size_bytes = await self._fleet.document(rack, sha256, offset)
        return {"piece": piece, "size_bytes": size_bytes}

    async def report_progress(
        self, generation: int, fetched_bytes: int, total_bytes: int
    ) -> Mapping[str, Any]:
        """This far am I."""
        rack = await self._authorised()
        await self._fleet.report_progress(rack, generation, fetched_bytes, total_bytes)
        return {}

    async def report_sync(self, generation: int, held: str, problem: str) -> Mapping[str, Any]:
        """So it ended."""
        await self._fleet.report_sync(await self._authorised(), generation, held, problem)
        return {}

    async def tell(self, command: Any, **arguments: Any) -> bool:
        """Give the rack a notice; returns whether it was taken. A hint only: racks also ask."""
        try:
            await self.conversation.call(command, timeout_s=NOTICE_TIMEOUT_S, **arguments)
        except RackferryError as error:
            _log.info("a notice did not reach its rack: {reason}", reason=error.line())
            return False
        return True

    def _lost(self, reason: RackferryError) -> None:
        _log.info("{peer} is gone: {reason}", peer=self.conversation.peer, reason=reason.line())
        self._sessions.left(self)


class Sessions(ServerFactory):
    """The control listener, and the racks that are connected to it.

    Args:
        fleet: the region's use-cases.
        endpoints: all regions, asked anew for each hello.
        region_name: this region's name.
        version: this software's version, for messages.
        clock: for all deadlines.
        throttle: holds the image bytes of all racks together.
    """

    noisy = False

    def __init__(
        self,
        fleet: Fleet,
        endpoints: Callable[[], Sequence[RegionEndpoint]],
        region_name: str,
        version: str,
        clock: IReactorTime,
        *,
        throttle: Throttle,
    ) -> None:
        self.fleet = fleet
        self.clock = clock
        self.throttle = throttle
        self._endpoints = endpoints
        self._region_name = region_name
        self._version = version
        self._sessions: list[Session] = []
        self._strangers: set[Session] = set()
        self._announcement: tuple[int, Callable[[RackIdentity], str]] | None = None
        self._delayed: IDelayedCall | None = None
        self._telling: set[Deferred[Any]] = set()

    def buildProtocol(self, addr: IAddress | None) -> Conversation | None:
        """A connection that has said nothing yet; None, which closes it, if there are too many."""
        if len(self._strangers) >= MAX_STRANGERS:
            return None
        session = Session(self, f"rack at {getattr(addr, 'host', addr)}")
        self._strangers.add(session)
        return session.conversation

    def greeting(self) -> dict[str, Any]:
        """The answer to a hello, but for the rack's name."""
        return {
            "version": self._version,
            "protocol": PROTOCOL_VERSION,
            "region_name": self._region_name,
            "endpoints": canonical_json(list(self._endpoints())),
        }

    # Who is there

    def joined(self, session: Session) -> None:
        """A session said hello. A rack keeps its newest few; older ones are half dead."""
        self._strangers.discard(session)
        if session not in self._sessions:
            self._sessions.append(session)
        rack = session.rack
        if rack is not None:
            for old in self.by_serial(rack.serial)[:-MAX_SESSIONS_PER_RACK]:
                old.conversation.abort(Refused("replaced by newer connections", object=rack.name))

    def left(self, session: Session) -> None:
        """A session is over."""
        self._strangers.discard(session)
        if session in self._sessions:
            self._sessions.remove(session)

    def by_serial(self, serial: str) -> list[Session]:
        """The sessions of one certificate, oldest first."""
        return [each for each in self._sessions if each.rack and each.rack.serial == serial]

    def by_rack(self, name: str) -> list[Session]:
        """The sessions of one rack, oldest first."""
        return [each for each in self._sessions if each.rack and each.rack.name == name]

    def drop(self, serial: str) -> None:
        """End the sessions of a certificate at once."""
        for session in self.by_serial(serial):
            session.conversation.abort(Refused("the certificate was revoked", object=serial))

    # Notices

    def announce(self, generation: int, digest_for: Callable[[RackIdentity], str]) -> None:
        """Tell every rack, soon, which view it is to hold; the last of several calls counts."""
        self._announcement = (generation, digest_for)
        if self._delayed is None:
            self._delayed = self.clock.callLater(ANNOUNCE_DELAY_S, self._announce_now)

    def _announce_now(self) -> None:
        self._delayed = None
        if self._announcement is None:
            return
        generation, digest_for = self._announcement
        for session in self._sessions:
            if session.rack is not None:
                digest = digest_for(session.rack)
                self._own(session.tell(ViewChanged, generation=generation, digest=digest))

    async def sync_now(self, name: str | None = None) -> list[str]:
        """Tell one rack, or all, to sync; returns the names of those that took it."""
        sessions = self._sessions if name is None else self.by_rack(name)
        newest = {session.rack.name: session for session in sessions if session.rack}
        waiting = {name: self._own(session.tell(SyncNow)) for name, session in newest.items()}
        return [name for name, told in waiting.items() if await told]

    def _own(self, telling: Any) -> "Deferred[bool]":
        told: Deferred[bool] = Deferred.fromCoroutine(telling)
        self._telling.add(told)

        def done(result: bool) -> bool:
            self._telling.discard(told)
            return result

        return told.addBoth(done)

    async def stop(self) -> None:
        """End every session, send no more notices, and wait until all is over."""
        if self._delayed is not None:
            self._delayed.cancel()
            self._delayed = None
        for session in list(self._sessions):
            await session.conversation.finish()
