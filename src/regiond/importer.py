"""One import: look at the sources, plan, fetch, publish image by image, let go of the rest.

What is promised here:

* When every document is unchanged and nothing is missing, it ends after the conditional
  requests: no lease, no GnuPG, no write.
* Everything written carries the fencing token of the import lease; whoever lost the lease
  finds its writes ``Stale``.
* An image is published when all its files are complete and verified, never before; the old
  version stays until then. A file that fails costs its images and nothing else.
* Mirrors show new documents when all their selected images are published, and until then
  what the old documents name.
* Stopping at any point loses at most the chunks in memory.
"""

from collections.abc import Callable, Iterable

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from common.errors import Conflict, NoSpace
from common.events import Event, Severity
from common.images import ImageKey
from regiond.bundle import BundledSources
from regiond.companions import Companions
from regiond.fulfilment import Fulfilment, Transfers, all_of
from regiond.holdings import read_holdings
from regiond.housekeeping import clean_up, is_due
from regiond.import_notes import bundle_older, note_pinned, note_plan, note_vanished
from regiond.import_plan import ImportPlan
from regiond.import_records import ImportRecords
from regiond.import_run import Progress, Run
from regiond.import_service import ImportResult
from regiond.notices import source_notices
from regiond.planning import plan_import
from regiond.room import RoomWatch
from regiond.sources.matching import SourceOffers
from regiond.sources.releases import day_of
from regiond.sources.selection_rules import explain_unmatched
from regiond.store import canaries, generations, publication, revisions, selections, sources
from regiond.store.database import Database
from regiond.store.sources import BootSource
from regiond.upstream import Look, Upstream


class Importer:
    """Runs imports, one at a time (``ImportService`` sees to that).

    Args:
        database: the store.
        upstream: reads the sources.
        transfers: how blobs are fetched.
        holder: this region's name, for the lease.
        clock: monotonic.
        now: seconds since the epoch.
    """

    log = Logger()

    def __init__(
        self,
        database: Database,
        upstream: Upstream,
        transfers: Transfers,
        *,
        holder: str,
        clock: IReactorTime,
        now: Callable[[], float],
    ) -> None:
        self._database = database
        self._upstream = upstream
        self._transfers = transfers
        self._records = ImportRecords(database, holder, clock, now)
        self._clock = clock
        self._now = now
        self._settled: frozenset[object] | None = None
        self._losses = 0
        self.progress = Progress()
        self.room = RoomWatch(database)

    async def has_room(self) -> bool:
        """Whether there is space now for what there was none for."""
        return await self.room.is_there()

    async def revision(self) -> int:
        """Changes whenever a source or a selection changes."""
        return await self._database.read(revisions.selection_revision)

    def unsettle(self) -> None:
        """Something was taken away: the next import has to look at everything.

        Counted, since it may happen during an import, whose end must not forget it.
        """
        self._losses += 1

    async def look(self) -> list[Look]:
        """Read every enabled source now."""
        enabled = [
            source for source in await self._database.read(sources.list_sources) if source.enabled
        ]
        looking = [Deferred.fromCoroutine(self._upstream.look(source)) for source in enabled]
        return await all_of(looking)

    async def plan(self, looks: Iterable[Look]) -> ImportPlan:
        """What an import would do.

        A source that was not looked at (it is disabled, or was changed since) offers nothing,
        and its images stay for as long as they are selected.
        """
        looked_at = {look.source.id: look for look in looks}
        offers = [
            await self._offers(source, looked_at.get(source.id))
            for source in await self._database.read(sources.list_sources)
        ]
        return plan_import(offers, await read_holdings(self._database))

    async def _offers(self, source: BootSource, look: Look | None) -> SourceOffers:
        wanted = await self._database.read(selections.list_selections, source.id)
        return SourceOffers(
            source.id,
            source.priority,
            tuple(each.selection for each in wanted),
            (await self._upstream.catalogue(look)).newest if look else (),
            day_of(self._now()),
        )

    async def _notices(self, look: Look) -> tuple[Event, ...]:
        """What is to be known of a source, by what it said now or last."""
        kept = await self._database.read(selections.list_selections, look.source.id)
        return source_notices(
            look.name,
            [each.selection for each in kept],
            await self._upstream.catalogue(look),
            day_of(self._now()),
        )

    async def run(self, reason: str) -> ImportResult:
        """One import.

        Raises:
            Conflict: code ``import-elsewhere``; another region imports.
            Stale: another region took over.
            NoSpace, StorageError: the database failed.
        """
        began_s = self._clock.seconds()
        self.progress = Progress()
        revision, losses = await self.revision(), self._losses
        looks = await self.look()
        for look in looks:
            await self._upstream.note_lag(look)
        lagging = tuple(look.name for look in looks if look.is_lagging)
        notices = [event for look in looks for event in await self._notices(look)]
        state = _state(revision, losses, looks, notices)
        if (
            all(look.is_unchanged for look in looks)
            and state == self._settled
            and not await is_due(self._database, self._now())
        ):
            generation, _ = await self._database.read(generations.current_generation)
            work_s = self._clock.seconds() - began_s
            return ImportResult("unchanged", generation, work_s=work_s, lagging=lagging)
        result = await self._whole(reason, looks, began_s)
        self._settled = None if result.failed else state
        return attrs.evolve(result, lagging=lagging)

    async def run_bundle(self, bundled: BundledSources) -> ImportResult:
        """One import from a bundle; by the rules of any other, and asking no source.

        Raises:
            As ``run``.
        """
        began_s = self._clock.seconds()
        self.progress = Progress()
        self._settled = None
        known = await self._database.read(sources.list_sources)
        looks = [
            await self._upstream.look_into(bundled.documents(source), source)
            for source in known
            if source.id in bundled.names
        ]
        return await self._whole("a bundle", looks, began_s, bundled)

    async def _whole(
        self,
        reason: str,
        looks: list[Look],
        began_s: float,
        bundled: BundledSources | None = None,
    ) -> ImportResult:
        self.log.info("import begins: {reason}", reason=reason)
        try:
            async with self._records.lease() as epoch:
                run = Run(epoch, self.progress)
                async with self._records.recorded(run):
                    await self._import(run, looks, bundled)
        finally:
            self._database.settle()
        generation, _ = await self._database.read(generations.current_generation)
        return ImportResult(
            "incomplete" if run.failed else "complete",
            generation,
            tuple(map(str, run.published)),
            tuple(map(str, run.retired)),
            run.failed,
            run.progress.fetched_bytes,
            self._clock.seconds() - began_s,
            left_out=tuple(map(str, run.left_out)),
        )

    async def _import(
        self, run: Run, looks: list[Look], bundled: BundledSources | None = None
    ) -> None:
        looks = [look for look in looks if await self._take_in(run, look)]
        if await is_due(self._database, self._now()):
            # Before the plan counts on them, and before fetching needs their space.
            await clean_up(self._database, self._now())
        plan = await self._plan(looks, bundled)
        work, transfers = plan, self._transfers
        if bundled is not None:
            work = plan.within(bundled.names, bundled.brings, bundled.has)
            transfers = attrs.evolve(transfers, routes=bundled, throttles=lambda _: ())
            run.left_out += _left_out(plan, work, bundled)
        note_plan(run, plan)
        await note_vanished(self._database, run, plan, looks)
        await note_pinned(self._database, run, plan, self._now())
        run.progress.phase = "fetching"
        run.progress.total_bytes = work.fetch_bytes
        run.progress.total_images = len(work.stage)
        await self._retire(run, plan)
        # Now, and not before: what nobody wants any more goes although there is no room.
        await self.room.check([blob.fetch_bytes for blob in work.fetch])
        try:
            await Fulfilment(self._database, transfers, run, looks).do(work)
        except NoSpace as error:
            again = await self._plan(looks, bundled)
            if bundled is not None:
                again = again.within(bundled.names, bundled.brings, bundled.has)
            left = [blob.fetch_bytes for blob in again.fetch]
            raise await self.room.explained(error, left) from error
        run.progress.phase = "cleaning up"
        # These were there until their successors came; the documents shown still name them.
        await self._retire(run, plan, stay_mirrored=True)
        await self._show_documents(run, plan, looks, Companions(self._database, transfers, run))
        await clean_up(self._database, self._now())

    async def _plan(self, looks: list[Look], bundled: BundledSources | None) -> ImportPlan:
        """The plan; what other sources than a bundle's say counts as they said it last."""
        if bundled is None:
            return await self.plan(looks)
        others = [
            await self._upstream.as_it_was(source)
            for source in await self._database.read(sources.list_sources)
            if source.enabled and source.id not in bundled.names
        ]
        return await self.plan([*looks, *others])

    async def _retire(self, run: Run, plan: ImportPlan, *, stay_mirrored: bool = False) -> None:
        """Let those go that wait for nothing that is still to be published."""
        waiting = {each.key for each in await self._database.read(canaries.waiting)}
        retired = set(plan.retirements(set(run.published) - waiting)) - run.retired_ids
        if retired:
            await self._database.write(
                publication.retire_images,
                retired,
                run.epoch,
                self._now(),
                stay_mirrored=stay_mirrored,
            )
            run.retired_ids |= retired
            run.retired += dict.fromkeys(g.key for g in plan.retire if g.image_id in retired)

    async def _show_documents(
        self, run: Run, plan: ImportPlan, looks: Iterable[Look], companions: Companions
    ) -> None:
        """Mirrors go over to what was read, in one generation with the images it names."""
        read, complete = {}, set()
        waiting = await self._database.read(canaries.waiting)
        for look in looks:
            documents = {path: each.sha256 for path, each in look.documents.items()}
            offers = await self._offers(look.source, look)
            beside = await companions.of(look, offers.selected)
            read[look.source] = {**beside, **documents}
            # With a problem, some product file is not the one that the index means.
            if look.reading is None or not look.reading.problems:
                complete.add(look.source.id)
        await self._database.write(
            publication.show_documents,
            read,
            # Racks that wait for an image hold what the documents of before name.
            complete - plan.incomplete(run.published) - {each.source_id for each in waiting},
            run.epoch,
            self._now(),
        )

    async def _take_in(self, run: Run, look: Look) -> bool:
        """Keep what a source said, and note what is wrong with it.

        Returns:
            whether it is still the source that was looked at; else it has no say.
        """
        try:
            await self._database.read(sources.demand_unchanged, look.source)
            await self._upstream.keep(look)
        except Conflict as error:
            run.lost(error)
            return False
        name = look.name
        run.looked_at.add(name)
        for event in await self._notices(look):
            run.note(event)
        wrong = bundle_older(look) if look.in_bundle and look.is_lagging else look.error
        if wrong is not None:
            run.failed[name] = wrong
            run.note(attrs.evolve(Event.of(wrong), object=name))
        if look.reading is None:
            return True
        if not look.in_bundle:  # what was wrong with a bundle is over when the source is read
            run.looked_at.add(attrs.evolve(look, in_bundle=True).name)
        for problem in look.reading.problems:
            run.failed[problem.object or name] = problem
            run.note(attrs.evolve(Event.of(problem), object=name))
        for event in look.reading.events:
            run.note(attrs.evolve(event, object=name))
        await self._check_selections(run, look)
        return True

    async def _check_selections(self, run: Run, look: Look) -> None:
        """Look at those that were accepted while the source could not be read."""
        kept = await self._database.read(selections.list_selections, look.source.id)
        unchecked = [each for each in kept if each.unchecked]
        if not unchecked:
            return
        offers = (await self._upstream.catalogue(look)).newest
        today = day_of(self._now())
        reasons = []
        for each in unchecked:
            why = explain_unmatched(each.selection, offers, today)
            if why is None:
                await self._database.write(selections.mark_checked, each.id)
            else:
                reasons.append(f"selection {each.id}: {why}")
        if reasons:
            run.note(
                Event("selection-unmatched", Severity.WARNING, look.name,
                      "; ".join(reasons), "delete it, or wait until the source has it")
            )  # fmt: skip


def _left_out(plan: ImportPlan, work: ImportPlan, bundled: BundledSources) -> list[ImageKey]:
    """The selected images of the bundle's sources that it does not bring."""
    brought = {planned.offer.key for planned in work.stage}
    return [
        planned.offer.key
        for planned in plan.stage
        if planned.source_id in bundled.names and planned.offer.key not in brought
    ]


def _state(
    revision: int, losses: int, looks: Iterable[Look], notices: Iterable[Event]
) -> frozenset[object]:
    """What an import depends on; two imports with equal states have the same plan."""
    read = [(look.source.id, look.reading) for look in looks if look.reading is not None]
    documents = {(source_id, each.sha256) for source_id, said in read for each in said.documents}
    # Nothing but time makes a source old, or ends the support of a release: without the
    # events nobody would be told.
    events = {(source_id, each.code) for source_id, said in read for each in said.events}
    return frozenset({(revision, losses), *documents, *events, *notices})
