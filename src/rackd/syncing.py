"""One sync: from the digest of a view to a snapshot that machines see.

Read the view and its image documents -> survey the disk -> plan -> fetch -> unpack -> link ->
flip -> clean up. Each step may fail; what was fetched stays, and the next sync goes on from there.
"""

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from common.errors import NoSpace, RackferryError, SourceError
from common.events import Event, Severity
from common.images import Image, View
from common.pools import Threads
from common.unbroken import unbroken
from rackd.archives import Member
from rackd.event_log import EventLog
from rackd.image_progress import parts_of
from rackd.keeping import Keeping
from rackd.kept import blobs_of, staying
from rackd.library import Library
from rackd.menus import MenuSettings
from rackd.mirror import Content
from rackd.planning import (
    Holdings,
    Layout,
    Skipped,
    SyncPlan,
    clean_up,
    lay_out,
    plan,
)
from rackd.records import HeldFile, HeldImage, KeptImage, Record
from rackd.retention import RETENTION_S, Retention
from rackd.snapshot import Snapshot
from rackd.survey import PutAside, Survey, foreign_file
from rackd.transfers import FetchBlob, Transfers, as_one
from rackd.tree import Tree, grow
from rackd.wanted import Documents, ViewReader, Wanted


class Syncing:
    """Makes the disk hold a view.

    Args:
        documents: the region.
        library: the disk.
        fetch: gets one file into the library.
        clock: for the time that passes.
        now: seconds since the epoch.
        on_disk: runs what blocks on the disk.
        events: where things put aside and skipped are named.
        menus: what an admin says about the generated menus.

    Attributes:
        transfers: of the sync that is running.
        keeping: gets what is only to be at hand, afterwards.
    """

    log = Logger()

    def __init__(
        self,
        documents: Documents,
        library: Library,
        fetch: FetchBlob,
        *,
        clock: IReactorTime,
        now: Callable[[], float],
        on_disk: Threads,
        events: EventLog,
        menus: MenuSettings | None = None,
    ) -> None:
        self._menus = menus or MenuSettings()
        self._reader = ViewReader(documents)
        self._library = library
        self._fetch = fetch
        self._clock = clock
        self._now = now
        self._retention = Retention(now(), clock.seconds())
        self._on_disk = on_disk
        self._events = events
        self._clean_up_at = -math.inf
        self._said: set[tuple[str, str]] = set()
        self._fetched_bytes = 0
        self._wanted: Sequence[Image] = ()
        self.transfers: Transfers | None = None
        self.keeping = Keeping(self._reader, library, fetch, clock=clock, on_disk=on_disk)

    @property
    def fetched_bytes(self) -> int:
        """What was fetched since the start, and kept."""
        return self._fetched_bytes + (self.transfers.fetched_bytes if self.transfers else 0)

    def parts(self) -> list[dict[str, Any]]:
        """How far each image of the sync is that is running."""
        transfers = self.transfers
        return parts_of(self._wanted, transfers.held_bytes_each) if transfers else []

    async def run(self, digest: str) -> int | None:
        """Hold the view ``digest``, and show it.

        Returns:
            How many bytes were fetched; None if the view was abandoned on the way, since a
            newer one wants less.

        Raises:
            RackferryError: it could not be held; what was fetched stays.
        """
        wanted = await self._reader.read(digest)
        self._wanted = wanted.images
        made, holdings = await self._planned(wanted)
        try:
            if not await self._transfer(made.fetch, holdings):
                return None
            await self._show(wanted, digest, made.layout)
        except NoSpace as error:
            # A quota, or others who write there: what had seemed to fit does not.
            raise await self._explained(error, wanted) from error
        await self._clean_up(made.layout.blobs | blobs_of(wanted.kept))
        return made.need_bytes

    async def _transfer(self, files: Sequence[Content], holdings: Holdings) -> bool:
        """Get these files; False if some were let go of."""
        self.transfers = transfers = Transfers(self._fetch, files, dict(holdings.partials))
        try:
            await transfers.run()
        finally:
            self._fetched_bytes = self.fetched_bytes
            self.transfers = None
        if transfers.problems:
            raise as_one(transfers.problems)
        return not transfers.is_abandoned

    async def _show(self, wanted: Wanted, digest: str, layout: Layout) -> None:
        """Link the tree of what is there now, and let machines see it."""
        tree = await self._tree(layout, wanted.images, wanted.view.generation)
        record = Record(
            generation=wanted.view.generation,
            view_digest=digest,
            images=held_images(wanted.images, tree, self._library.current),
            files={**tree.files, **layout.mirror.held_files},
            links=tree.links,
            archives=tuple(
                HeldFile(file.sha256, file.size_bytes) for file in layout.archives.values()
            ),
            recipe=self._library.recipe,
            skipped={each.image: each.reason for each in (*layout.skipped, *tree.skipped)},
            kept=tuple(map(_kept, wanted.kept)),
        )
        await self._on_disk(lambda: self._library.publish(record, self._now()))

    async def abandon_for(self, digest: str) -> None:
        """Another view is wanted now: let go of the transfers that it does not need."""
        wanted = await self._reader.read(digest)
        if self.transfers is not None:
            self.transfers.abandon(lay_out(wanted.images, wanted.mirrored).blobs)

    async def take_disk(self) -> None:
        """Open a library that could only be read when the rack started, if that works now.

        Raises:
            NoSpace, StorageError, ConfigError: it does not; what is there is served meanwhile.
        """
        if not self._library.is_open:
            self.name_put_aside(await unbroken(self._on_disk(self._library.open)))
            await self.reconcile()

    async def reconcile(self) -> None:
        """After a start: name what is not ours, and put away what is plainly damaged.

        Where there is no tree yet, an empty one is shown.
        The library is served meanwhile. It needs no region; what was damaged is fetched again
        by the next sync. A failure costs this look only.
        """
        if not self._library.is_open:
            return
        try:
            survey = await self._survey()
            damaged = await self._on_disk(lambda: self._library.withdraw_cut(survey.holdings))
            if self._library.current is None:
                # A TFTP or web server that is pointed at ``current`` must find it.
                await self._show(Wanted(View(generation=0)), "", lay_out(()))
        except RackferryError as error:
            self._events.note(Event.of(error, Severity.WARNING))
            return
        except CancelledError:
            raise
        except Exception:  # noqa: BLE001 - a bug here must not keep the rack from following
            self.log.failure("the start's look at the disk failed")
            return
        self.name_put_aside(survey.put_aside)
        for each in damaged:
            self._events.raise_problem(each)

    async def tidy(self) -> None:
        """Clean up, if something may have become old enough since the last time."""
        current = self._library.current
        if current is not None and self._clock.seconds() >= self._clean_up_at:
            await self._clean_up(current.record.blobs | current.record.kept_blobs)

    async def _tree(self, layout: Layout, images: Sequence[Image], generation: int) -> Tree:
        """Unpack archives, and make what is made here; a bad archive costs its image only."""
        members: dict[str, Sequence[Member]] = {}
        for path, archive in layout.archives.items():
            if archive.sha256 in members:
                continue
            try:
                members[archive.sha256] = await self._on_disk(
                    partial(self._library.unpack, archive)
                )
            except SourceError as error:
                self._note_once(attrs.evolve(Event.of(error), object=f"{path} {archive.sha256}"))
        before = await self._on_disk(self._library.before)
        tree = grow(layout, images, members, self._menus, generation, before=before)
        await self._on_disk(lambda: self._library.keep(tree.made))
        for skipped in tree.skipped:
            self._note_once(Event("image-skipped", Severity.WARNING, skipped.image, skipped.reason))
        for method in tree.missing:
            self._note_once(
                Event(
                    "bootloader-missing",
                    Severity.INFO,
                    method,
                    "there are images for its machines, and no bootloader",
                    "select one, if these machines do not get theirs elsewhere",
                )
            )
        return tree

    async def _planned(self, wanted: Wanted) -> tuple[SyncPlan, Holdings]:
        """A plan that fits the disk.

        Raises:
            NoSpace: even without all that may go; says how much is missing.
        """
        made, holdings = await self._plan(wanted)
        if made.missing_bytes:
            await self._clean_up(made.layout.blobs | blobs_of(wanted.kept), is_short=True)
            made, holdings = await self._plan(wanted)
        if made.missing_bytes:
            stay = staying(wanted.kept, made.layout.blobs, holdings, made.missing_bytes)
            await self._clean_up(made.layout.blobs | blobs_of(stay), is_short=True)
            made, holdings = await self._plan(wanted)
        if made.missing_bytes:
            raise self._no_space(f"{made.missing_bytes} more bytes are needed", made, holdings)
        return made, holdings

    async def _explained(self, error: NoSpace, wanted: Wanted) -> NoSpace:
        """What a disk that became full in mid-sync means, with the figures of now."""
        await self._clean_up(lay_out(wanted.images, wanted.mirrored).blobs, is_short=True)
        made, holdings = await self._plan(wanted)
        reason = (
            f"{made.missing_bytes} more bytes are needed" if made.missing_bytes else error.message
        )
        return self._no_space(reason, made, holdings)

    def _no_space(self, reason: str, made: SyncPlan, holdings: Holdings) -> NoSpace:
        return NoSpace(
            f"{reason}: {made.need_bytes} to fetch, {holdings.free_bytes} free beyond the reserve",
            object=str(self._library.images_dir),
            remedy=f"free space (nothing in {self._library.aside} is needed) or add some; "
            "the sync goes on by itself",
        )

    async def _plan(self, wanted: Wanted) -> tuple[SyncPlan, Holdings]:
        survey = await self._survey()
        self.name_put_aside(survey.put_aside)
        made = plan(wanted.images, survey.holdings, wanted.mirrored)
        if made.suspect:
            self.name_put_aside(await self._on_disk(lambda: self._library.distrust(made.suspect)))
        self._name_skipped(made.layout.skipped)
        for path, reason in made.layout.mirror.skipped.items():
            self._note_once(Event("mirror-skipped", Severity.WARNING, path, reason))
        return made, survey.holdings

    async def _survey(self) -> Survey:
        survey = await self._on_disk(self._library.survey)
        self._retention.look(survey.holdings, self._clock.seconds())
        return survey

    async def _clean_up(self, wanted: Collection[str], *, is_short: bool = False) -> None:
        """Delete what may go. A failure costs space, not the sync."""
        try:
            survey = await self._survey()
            over = self._retention.over(self._clock.seconds())
            gone = clean_up(wanted, survey.holdings, over, is_short=is_short)
            put_aside = await self._on_disk(lambda: self._library.discard(gone))
        except RackferryError as error:
            self._events.note(Event.of(error, Severity.WARNING))
        else:
            self.name_put_aside((*survey.put_aside, *put_aside))
            self._clean_up_at = self._clock.seconds() + RETENTION_S

    def name_put_aside(self, found: Collection[PutAside]) -> None:
        """Tell people what was found in our directories and is not ours."""
        for each in found:
            self._events.note(foreign_file(each))

    def _name_skipped(self, found: Collection[Skipped]) -> None:
        for each in found:
            self._note_once(Event("image-skipped", Severity.WARNING, each.image, each.reason))

    def _note_once(self, event: Event) -> None:
        if (event.code, event.object) not in self._said:
            self._said.add((event.code, event.object))
            self._events.note(event)


def held_images(
    images: Sequence[Image], tree: Tree, before: Snapshot | None
) -> tuple[HeldImage, ...]:
    """The images of a tree, as people are told about them; of some the version before."""
    skipped = {each.image for each in tree.skipped}
    held = [
        HeldImage(str(image.key), image.version, image.size_bytes, image.title)
        for image in images
        if str(image.key) not in skipped
    ]
    former = before.record.images if before else ()
    held += [each for each in former if each.key in tree.stayed]
    return tuple(sorted(held, key=lambda each: each.key))


def _kept(image: Image) -> KeptImage:
    files = tuple(HeldFile(file.sha256, file.size_bytes) for file in image.files)
    return KeptImage(str(image.key), image.version, files, image.title)
