"""What racks can ask of a region, and what admins can ask about racks.

The use-cases behind ``regiond.racks``. What is worth keeping is in the database; presence
and progress are in memory, as they change by the second and mean nothing after a restart.
"""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from twisted.internet.interfaces import IReactorTime

from common.canonical import plain
from common.commands import PIECE_BYTES, SILENCE_LIMIT_S
from common.errors import NotFound, RangeError
from common.identity import Authority
from common.images import Image, ImageKey, View
from common.tokens import LIFETIME_S, format_token, new_token, secret_sha256
from regiond.blob_bytes import BlobBytes
from regiond.chunk_cache import ChunkCache
from regiond.damaged_blobs import being_repaired
from regiond.presence import Presence, status_of
from regiond.rack_events import clock_of, problem_event, reported_problem, skew_event
from regiond.racks.enrolment import checked_name, checked_request, issue, key_sha256
from regiond.racks.fleet import Enrolled, RackIdentity
from regiond.restrictions import checked, may_hold, without_meaning
from regiond.rows import forgotten_row, held_row, waits_columns
from regiond.spread import Spread, spread_of
from regiond.store import blobs, canaries, events, generations, images, lags, racks
from regiond.store.blobs import Blob
from regiond.store.database import Database
from regiond.store.lags import Lag
from regiond.store.racks import Rack


class RegionFleet:
    """All racks of a region; implements ``regiond.racks.fleet.Fleet``.

    Args:
        database: the store.
        cache: of chunks.
        authority: signs racks' certificates.
        region_name: this region's name.
        clock: monotonic, for presence.
        now: seconds since the epoch.
        random_bytes: as ``os.urandom``.
        is_importing: whether an import runs.

    Attributes:
        stirs: grows whenever a rack says something new.
    """

    def __init__(
        self,
        database: Database,
        cache: ChunkCache,
        authority: Authority,
        region_name: str,
        *,
        clock: IReactorTime,
        now: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        is_importing: Callable[[], bool],
    ) -> None:
        self._database = database
        self._cache = cache
        self._authority = authority
        self._region_name = region_name
        self._clock = clock
        self._now = now
        self._random_bytes = random_bytes
        self._is_importing = is_importing
        self._presences: dict[str, Presence] = {}
        self.stirs = 0
        self._views: dict[str, View] = {}  # those that racks hold or are to hold

    # What racks ask

    async def enrol(self, secret: bytes, csr_der: bytes, name: str) -> Enrolled:
        """A certificate for a one-time secret; the same one again for the same key."""
        key = checked_request(csr_der)
        now = self._now()
        at = datetime.fromtimestamp(now, UTC)
        certificate = await self._database.write(
            racks.redeem_token,
            secret_sha256(secret),
            key_sha256(key),
            name,
            now,
            lambda rack: issue(self._authority, rack, key, at),
        )
        return Enrolled(certificate.pem, self._authority.pem, self._region_name)

    async def rack_by_serial(self, serial: str) -> RackIdentity | None:
        """The active rack with that certificate."""
        known = await self._database.read(racks.rack_by_serial, serial)
        if known is None:
            return None
        return RackIdentity(known.name, known.serial, known.spki_sha256)

    async def seen(self, rack: RackIdentity) -> None:
        """The rack has said something just now."""
        self._presence(rack.name).seen_at_s = self._clock.seconds()

    def sent(self, rack: RackIdentity, size_bytes: int) -> None:
        """The rack was sent so many bytes of images."""
        self._presence(rack.name).sent_bytes += size_bytes

    async def greeted(self, rack: RackIdentity, rack_now: float) -> None:
        """The rack has said hello; a clock that is far from ours is an event until it is not."""
        skew_s = rack_now - self._now()
        if not math.isfinite(skew_s):
            return
        self._presence(rack.name).clock_skew_s = skew_s
        about, event = clock_of(rack.name), skew_event(rack.name, skew_s)
        known = await self._database.read(events.list_events, code="clock-skew")
        if event is None and about not in {each.event.object for each in known}:
            return
        raised = () if event is None else (event,)
        await self._database.write(events.settle, raised, {about}, self._now())

    async def current_view(self, rack: RackIdentity, held: str) -> tuple[int, str]:
        """Generation and digest of the rack's view; also, what the rack says it holds."""
        presence = self._presence(rack.name)
        self.stirs += presence.held != held
        presence.held = held
        generation, digest = await self._database.read(generations.current_view, rack.name)
        if held == digest:
            presence.looks_ended += 1
        return generation, digest

    async def document(
        self,
        rack: RackIdentity,  # noqa: ARG002 - every rack may read every document for now
        sha256: str,
        offset: int,
    ) -> tuple[bytes, int]:
        """A piece of a view or image document."""
        content = await self._database.read(generations.read_document, sha256)
        if content is None:
            raise NotFound("there is no such document", object=sha256, code="document-unknown")
        if not 0 <= offset <= len(content):
            raise RangeError(f"offset {offset} lies outside {len(content)} bytes", object=sha256)
        return content[offset : offset + PIECE_BYTES], len(content)

    async def report_progress(
        self, rack: RackIdentity, generation: int, fetched_bytes: int, total_bytes: int
    ) -> None:
        """How far a sync is; kept in memory."""
        self._presence(rack.name).transferring(
            self._clock.seconds(), generation, fetched_bytes, total_bytes
        )
        self.stirs += 1

    async def report_sync(
        self, rack: RackIdentity, generation: int, held: str, problem: str
    ) -> None:
        """How a sync ended; a problem becomes an event, and its end clears that."""
        self._presence(rack.name).sync_ended(held)
        self.stirs += 1
        fields = reported_problem(problem)
        now = self._now()
        await self._database.write(
            racks.report_sync, rack.name, generation, held, fields, now, self._region_name
        )
        name = f"rack {rack.name}"
        raised = () if fields is None else (problem_event(name, fields),)
        await self._database.write(events.settle, raised, {name}, now)

    async def blob(self, rack: RackIdentity, sha256: str) -> BlobBytes | None:
        """The bytes of a blob in the rack's view.

        Raises:
            StorageError: code ``blob-damaged``; they went bad, and are not there again yet.
        """
        blob = await self._visible(rack, sha256)
        return None if blob is None else BlobBytes(blob, self._cache)

    async def digests(self, rack: RackIdentity, sha256: str) -> bytes | None:
        """The digest list of a blob in the rack's view; raises as ``blob`` does."""
        if await self._visible(rack, sha256) is None:
            return None
        return await self._database.read(blobs.digest_list, sha256)

    async def _visible(self, rack: RackIdentity, sha256: str) -> Blob | None:
        known = await self._database.read(racks.rack_by_serial, rack.serial)
        if known is None or not await self._database.read(
            images.is_blob_in_view, sha256, known.selections, self._now()
        ):
            return None
        blob = await self._database.read(blobs.find_complete, sha256)
        if blob is None:  # what a view names was complete when it was published
            raise being_repaired(sha256)
        return blob

    def _presence(self, name: str) -> Presence:
        return self._presences.setdefault(name, Presence(self._clock.seconds()))

    # What admins ask

    async def generation(self) -> int:
        """The number of the current generation; 0 before the first."""
        number, _ = await self._database.read(generations.current_generation)
        return number

    def looks_ended(self) -> dict[str, int]:
        """How often each rack was done with a look, so far."""
        return {name: presence.looks_ended for name, presence in self._presences.items()}

    def sent_bytes(self) -> dict[str, int]:
        """What each rack was sent of images by this process."""
        return {name: presence.sent_bytes for name, presence in self._presences.items()}

    def silence_s(self, name: str) -> float | None:
        """For how long a rack has said nothing; None if it never spoke to this process."""
        presence = self._presences.get(name)
        return None if presence is None else self._clock.seconds() - presence.seen_at_s

    async def create_token(self, name: str) -> tuple[str, float]:
        """A token for the rack ``name``, and when it expires (seconds since the epoch)."""
        token = new_token(self._authority.pin, self._random_bytes)
        now = self._now()
        await self._database.write(
            racks.create_token,
            secret_sha256(token.secret),
            checked_name(name),
            now + LIFETIME_S,
            now,
        )
        return format_token(token), now + LIFETIME_S

    async def list_racks(self) -> list[dict[str, Any]]:
        """Every rack, as the shell shows it."""
        return await self._described_all(await self._database.read(racks.list_racks))

    async def spread(self) -> dict[str, Spread]:
        """How far each image has spread, by ``str(ImageKey)``."""
        _, current = await self._database.read(generations.current_views)
        racks_now = [
            (self._held(rack), current.of(rack.name))
            for rack in await self._database.read(racks.list_racks)
        ]
        needed = {digest for pair in racks_now for digest in pair if digest}
        views = {digest: await self._view(digest) for digest in needed}
        self._views = {digest: view for digest, view in views.items() if view is not None}
        return spread_of(racks_now, self._views)

    async def _view(self, digest: str) -> View | None:
        if digest in self._views:
            return self._views[digest]
        document = await self._database.read(generations.read_document, digest)
        return None if document is None else View.from_document(document)

    async def describe_rack(self, name: str) -> dict[str, Any]:
        """One rack, as the shell shows it."""
        rack = await self._database.read(racks.rack_named, name)
        (described,) = await self._described_all([rack])
        held = [
            each
            for each in await self._database.read(images.list_images, ("published", "kept"))
            if (each.state == "published" if rack.canary else each.settled)
            and may_hold(rack.selections, each.key, is_bootloader=each.bootloader_type is not None)
        ]
        return described | {
            "images": len(held),
            "size_bytes": sum(each.size_bytes for each in held),
        }

    async def restrict_rack(self, name: str, selections: Sequence[str]) -> dict[str, Any]:
        """Let a rack hold only what these words mean; none of them: everything.

        Raises:
            WrongUsage: one of them is none.
            NotFound: no such rack.
        """
        words = checked(selections) or None
        await self._database.write(generations.restrict_rack, name, words, self._now())
        published = await self._database.read(images.list_images, ("published",))
        warning = without_meaning(words or (), [each.key for each in published])
        return await self.describe_rack(name) | ({"warning": warning} if warning else {})

    async def delete_rack(self, name: str) -> tuple[str, ...]:
        """Refuse a rack from now on; the serials of its certificates."""
        serials = await self._database.write(racks.delete_rack, name, self._now())
        self._presences.pop(name, None)
        about = {f"rack {name}", clock_of(name)}
        await self._database.write(events.settle, (), about, self._now())
        return serials

    async def images_of(self, name: str) -> list[dict[str, Any]]:
        """What a rack holds, by the last view that it reported complete."""
        rack = await self._database.read(racks.rack_named, name)
        document = await self._database.read(generations.read_document, rack.held_digest)
        if document is None:
            return []
        view = View.from_document(document)
        rows = []
        for key, held in view.images.items():
            content = await self._database.read(generations.read_document, held.document_sha256)
            if content is not None:
                rows.append(held_row(Image.from_document(content)))
            else:  # it is an old version, of which nothing else is known any more
                rows.append(forgotten_row(ImageKey.parse(key), held.version))
        return rows

    async def _described_all(self, known: Sequence[Rack]) -> list[dict[str, Any]]:
        held = {rack.name: self._held(rack) for rack in known}
        number, found = await self._database.read(lags.lags, held)
        waiting = await self._database.read(canaries.waiting)
        return [
            self._described(rack, number, found[rack.name]) | waits_columns(rack, waiting)
            for rack in known
        ]

    def _held(self, rack: Rack) -> str:
        presence = self._presences.get(rack.name)
        return presence.held if presence else rack.held_digest

    def _described(self, rack: Rack, number: int, lag: Lag) -> dict[str, Any]:
        presence, silence_s = self._presences.get(rack.name), self.silence_s(rack.name)
        transfer = presence and presence.transfer
        held = self._held(rack)
        status = status_of(
            is_silent=silence_s is None or silence_s > SILENCE_LIMIT_S,
            is_held=bool(held) and not lag.generations,
            is_transferring=transfer is not None,
            is_importing=self._is_importing(),
        )
        return {
            "name": rack.name,
            "state": rack.state,
            "status": status,
            "generation": number - lag.generations if held else 0,
            "lag_generations": lag.generations,
            "lag_since": lag.since,
            "held_digest": rack.held_digest,
            "last_seen": rack.last_seen_at if silence_s is None else self._now() - silence_s,
            "last_sync": rack.last_sync_at,
            "clock_skew_s": presence and presence.clock_skew_s,
            "selections": rack.selections,
            "progress": plain(transfer),
            "problem": rack.problem,
            "created": rack.created_at,
        }
