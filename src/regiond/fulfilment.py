"""Carries out an import plan: stage, fetch in parallel, publish each image as it completes.

A file that fails costs its images and nothing else. What is a failure of the whole import
(the lease is lost, the database is full or broken) ends it; the partials stay. What comes from
a source that was changed, disabled or deleted meanwhile is given up as soon as that is known.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from common.bell import Bell
from common.errors import Conflict, NoSpace, RackferryError, Stale, StorageError, bug
from common.events import Event
from common.fetching import Limits, Origin, Sink, fetch
from common.pools import Threads
from common.throttle import Throttle
from common.transfer import Goal
from regiond.chunk_rows import ChunkRows
from regiond.import_plan import BlobFetch, ImportPlan, PlannedImage
from regiond.import_run import Run
from regiond.publishing import Publishing
from regiond.slots import Slots
from regiond.small_blob import MOST_BYTES as SMALL_BYTES
from regiond.small_blob import SmallBlob, SmallBlobs
from regiond.store import images, publication
from regiond.store.changes import Change
from regiond.store.database import Database
from regiond.store.images import NeededFile, NewImage
from regiond.store.sources import BootSource, demand_unchanged
from regiond.upstream import Look

SMALL_FOR_ONE = 4
"""How many small blobs are fetched in the place of one large: they wait more than they move."""
TINY_BYTES = 64 << 10
"""Hashing so little takes less time than handing it to another thread."""
ENDS_ALL = (Stale, NoSpace, StorageError)


class _SourceLost(Exception):
    """A transfer was given up, since a source that it asked is not what it was."""


T = TypeVar("T")


async def all_of(work: Sequence[Deferred[T]]) -> list[T]:
    """The results of all; after the first failure the others are cancelled.

    Either way, and when this is cancelled, it waits for each to clean up.
    """

    def failed(failure: Failure) -> Failure:
        if not failure.check(CancelledError):
            for other in work:
                other.cancel()
        return failure

    for each in work:
        each.addErrback(failed)
    outcomes: list[tuple[bool, Any]] = await DeferredList(work, consumeErrors=True)
    failures = [outcome for succeeded, outcome in outcomes if not succeeded]
    for failure in failures:
        if not failure.check(CancelledError):
            failure.raiseException()
    if failures:
        raise CancelledError
    return [outcome for _, outcome in outcomes]


class Origins(Protocol):
    """Where the files of sources are: at their servers (``Routes``), or in a bundle."""

    def origin(self, source: BootSource, path: str, size_bytes: int) -> Origin:
        """One file of a source."""


@attrs.frozen
class Transfers:
    """How blobs are fetched.

    Attributes:
        routes: the way to every source's files.
        hashing: runs hashing away from the reactor.
        limits: how patient a transfer is.
        clock: monotonic.
        now: seconds since the epoch.
        random: in [0, 1), for back-off.
        most_at_once: how many blobs are fetched at once, as things are now.
        throttles: those that limit what comes from a source.
        wasted: told how many bytes a transfer threw away.
    """

    routes: Origins
    hashing: Threads
    limits: Limits
    clock: IReactorTime
    now: Callable[[], float]
    random: Callable[[], float]
    most_at_once: Callable[[], int]
    throttles: Callable[[int], Sequence[Throttle]]
    wasted: Callable[[int], None] = lambda _: None


@attrs.frozen(eq=False)
class _Underway:
    """A transfer that runs, and the sources that it may ask."""

    work: Deferred[None]
    asks: frozenset[int]


@attrs.define(eq=False)
class _Staged:
    """An image on its way: its row, and the blobs that it still waits for."""

    image_id: int
    planned: PlannedImage
    missing: set[str]

    @property
    def name(self) -> str:
        """As messages call it."""
        return str(self.planned.offer.key)


class Fulfilment:
    """Carries out one plan.

    Args:
        database: the store.
        transfers: how blobs are fetched.
        run: is told what becomes of it.
        looks: the sources, for the addresses of their files.
    """

    log = Logger()

    def __init__(
        self, database: Database, transfers: Transfers, run: Run, looks: Iterable[Look]
    ) -> None:
        self._database = database
        self._transfers = transfers
        self._run = run
        self._sources = {look.source.id: look.source for look in looks}
        self._waiting: defaultdict[str, list[_Staged]] = defaultdict(list)
        self._publishing = Publishing(self._publish, transfers.clock)
        self._small = SmallBlobs(database, run.epoch)
        self._underway: set[_Underway] = set()
        self._held_bytes: dict[str, int] = {}
        self._bell = Bell(transfers.clock)
        self._doubted: set[int] = set()
        self._lost: set[int] = set()
        self._is_over = False

    async def do(self, plan: ImportPlan) -> None:
        """Everything that the plan stages; what cannot be had is in ``run.failed``.

        A source that is changed or deleted meanwhile costs its own images and no other.
        """
        unsubscribe = self._database.subscribe(self._doubt)
        try:
            await self._do(plan)
        finally:
            unsubscribe()

    def _doubt(self, changes: tuple[Change, ...]) -> None:
        self._doubted |= {int(each.object) for each in changes if each.kind == "source"}
        if self._doubted:
            self._bell.ring()

    async def _do(self, plan: ImportPlan) -> None:
        new = [_new_image(planned) for planned in plan.stage]
        ids = await self._database.write(images.stage_images, new, self._transfers.now())
        for image_id, planned in zip(ids, plan.stage, strict=True):
            staged = _Staged(image_id, planned, set(planned.missing))
            for sha256 in staged.missing:
                self._waiting[sha256].append(staged)
            if not staged.missing:
                self._publishing.add(staged)
            self._run.looked_at.add(staged.name)
        for blob in plan.fetch:
            self._run.looked_at.update(str(each.key) for each in blob.repairs)
        # The first is the first to hear that all is to end.
        work = (self._watch(), self._get_all(plan.fetch), self._publishing.run())
        await all_of([Deferred.fromCoroutine(each) for each in work])

    async def _get_all(self, fetches: Iterable[BlobFetch]) -> None:
        most = self._transfers.most_at_once
        few, many = Slots(most), Slots(lambda: SMALL_FOR_ONE * most())
        getting = [
            (many if blob.size_bytes <= SMALL_BYTES else few).run(partial(self._get, blob))
            for blob in fetches
        ]
        await all_of([Deferred.fromCoroutine(each) for each in getting])
        self._publishing.end()
        self._is_over = True
        self._bell.ring()

    async def _get(self, blob: BlobFetch) -> None:
        """Fetch one blob; the images that waited for nothing else are ready then.

        Nobody may wait for what went bad of images that are published: they are whole again. If
        a source is lost meanwhile, it goes on where it was with those that are left.
        """
        while upstream := self._left(blob):
            waiting = self._waiting_for(blob.sha256)
            names = [each.name for each in waiting] + [str(each.key) for each in blob.repairs]
            if not names:
                return
            try:
                await self._fetch_until_lost(attrs.evolve(blob, upstream=upstream), names[0])
            except _SourceLost:
                continue
            except ENDS_ALL:
                raise
            except RackferryError as error:
                self._failed(error, names)
                return
            except CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - a bug may cost this image, not the others
                self.log.failure("bug while fetching {sha256}", sha256=blob.sha256)
                self._failed(bug(error, names[0], "could not be fetched"), names)
                return
            for staged in waiting:
                staged.missing.discard(blob.sha256)
                if not staged.missing:
                    self._publishing.add(staged)
            return

    def _left(self, blob: BlobFetch) -> tuple[tuple[int, str], ...]:
        """Where a blob can still be had."""
        return tuple(place for place in blob.upstream if place[0] not in self._lost)

    def _waiting_for(self, sha256: str) -> list[_Staged]:
        """The images that still wait for a blob."""
        return [
            staged for staged in self._waiting[sha256] if staged.planned.source_id not in self._lost
        ]

    async def _fetch_until_lost(self, blob: BlobFetch, image: str) -> None:
        """Fetch a blob; raises ``_SourceLost`` if that was given up on the way."""
        work = Deferred.fromCoroutine(self._fetch(blob, image))
        underway = _Underway(work, frozenset(source_id for source_id, _ in blob.upstream))
        self._underway.add(underway)
        try:
            await work
        except CancelledError:
            if self._is_over or not underway.asks & self._lost:
                raise
            raise _SourceLost from None
        finally:
            self._underway.discard(underway)

    async def _watch(self) -> None:
        """Until all is fetched: give up what comes from sources that are not what they were."""
        try:
            while not self._is_over:
                await self._bell.wait()
                await self._drop_doubtful()
        finally:
            self._is_over = True

    async def _drop_doubtful(self) -> None:
        """Give up what comes from sources that are not what they were."""
        while self._doubted:
            source = self._sources.get(self._doubted.pop())
            if source is None:
                continue
            try:
                await self._database.read(demand_unchanged, source)
            except Conflict as error:
                self._lose(source.id, error)

    def _lose(self, source_id: int, error: RackferryError) -> None:
        """What comes from a source, and was to come, is not wanted any more."""
        self._lost.add(source_id)
        self._run.lost(error)
        for each in list(self._underway):
            if source_id in each.asks:
                each.work.cancel()

    async def _fetch(self, blob: BlobFetch, image: str) -> None:
        transfers, progress = self._transfers, self._run.progress

        def held(held_bytes: int) -> None:
            before_bytes = self._held_bytes.get(blob.sha256, blob.held_bytes)
            progress.fetched(max(0, held_bytes - before_bytes), transfers.clock.seconds())
            self._held_bytes[blob.sha256] = held_bytes

        origins = [
            transfers.routes.origin(self._sources[source_id], path, blob.size_bytes)
            for source_id, path in blob.upstream
        ]
        hashing = transfers.hashing if blob.size_bytes > TINY_BYTES else at_once
        await fetch(
            Goal(blob.sha256, blob.size_bytes, None, f"{image} {blob.upstream[0][1]}"),
            origins,
            self._sink(blob, hashing),
            clock=transfers.clock,
            random=transfers.random,
            hashing=hashing,
            limits=transfers.limits,
            progress=held,
            throttles=lambda number: transfers.throttles(blob.upstream[number][0]),
            wasted=transfers.wasted,
        )

    def _sink(self, blob: BlobFetch, hashing: Threads) -> Sink:
        if blob.size_bytes <= SMALL_BYTES:
            return SmallBlob(self._small, hashing, sha512=blob.sha512)
        return ChunkRows(
            self._database,
            hashing,
            blob.sha256,
            blob.size_bytes,
            self._run.epoch,
            sha512=blob.sha512,
        )

    def _failed(self, error: RackferryError, names: Iterable[str]) -> None:
        for name in names:
            self.log.error("{image}: {reason}", image=name, reason=error.line())
            self._run.failed[name] = error
            self._run.note(attrs.evolve(Event.of(error), object=name))

    async def _publish(self, ready: Sequence[_Staged]) -> None:
        try:
            published = await self._database.write(
                publication.publish_images,
                [staged.image_id for staged in ready],
                self._run.epoch,
                self._transfers.now(),
                read=[self._sources[each] for each in {one.planned.source_id for one in ready}],
            )
        except ENDS_ALL:
            raise
        except RackferryError as error:
            self._failed(error, [staged.name for staged in ready])
            return
        for staged in ready:
            refusal = published.refused.get(staged.image_id)
            if refusal is None:
                self._run.published.append(staged.planned.offer.key)
                self._run.progress.published += 1
            elif refusal.code == "source-changed":
                self._lose(staged.planned.source_id, refusal)
            elif refusal.code == "image-pinned":  # meanwhile; the next import lets it go
                self.log.info("{image}: {why}", image=staged.name, why=refusal.line())
            else:  # an admin deleted it meanwhile, for example
                self._failed(refusal, [staged.name])
        self.log.info(
            "published as generation {generation}: {images}",
            generation=published.generation,
            images=", ".join(
                f"{each.name} {each.planned.offer.version}"
                for each in ready
                if each.image_id not in published.refused
            ),
        )


async def at_once(work: Callable[[], T]) -> T:
    """Hashing for what is tiny."""
    return work()


def _new_image(planned: PlannedImage) -> NewImage:
    offer = planned.offer
    return NewImage(
        key=offer.key,
        version=offer.version,
        files=tuple(
            NeededFile(
                file.name,
                file.ftype,
                file.sha256,
                file.size_bytes,
                planned.source_id,
                file.upstream_path,
            )
            for file in offer.files
        ),
        source_id=planned.source_id,
        kflavor=offer.kflavor,
        bootloader_type=offer.bootloader_type,
        rolling=offer.rolling,
        title=offer.title,
        subarches=offer.subarches,
        stream_tags=offer.stream_tags,
    )
