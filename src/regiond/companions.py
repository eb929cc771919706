"""What a source signs beside its images and no image needs: mirrors have it all the same.

MAAS's streams list a ``manifest`` with each image. Machines do not ask for it, but a client
that mirrors asks for all that the documents name, and ends at the first that is missing. What
is small is held and shown as documents are: at its path, and by every rack.
"""

from collections.abc import Iterable, Mapping
from functools import partial

from twisted.internet.defer import Deferred

from common.errors import RackferryError
from common.events import Event, Severity
from common.fetching import fetch
from common.transfer import Goal
from regiond.fulfilment import ENDS_ALL, SMALL_FOR_ONE, Transfers, all_of, at_once
from regiond.import_run import Run
from regiond.slots import Slots
from regiond.small_blob import MOST_BYTES, SmallBlob, SmallBlobs
from regiond.sources.catalogue import Offer, WantedFile
from regiond.store import blobs
from regiond.store.database import Database
from regiond.upstream import Look

_MOST_NAMED = 5


class Companions:
    """Those of the images of one import.

    Args:
        database: the store.
        transfers: how they are fetched.
        run: is told what could not be had.
    """

    def __init__(self, database: Database, transfers: Transfers, run: Run) -> None:
        self._database = database
        self._transfers = transfers
        self._run = run
        self._small = SmallBlobs(database, run.epoch)

    async def of(self, look: Look, offers: Iterable[Offer]) -> Mapping[str, str]:
        """Path and SHA-256 of those that are held; what is missing is fetched.

        One that cannot be had is told, and costs nothing else.

        Args:
            look: their source. If it could not be read, it is not asked for anything.
            offers: the images that are wanted of it.

        Raises:
            Stale, NoSpace, StorageError: as an import ends.
        """
        wanted = {
            file.upstream_path: file
            for offer in offers
            for file in offer.beside
            if file.size_bytes <= MOST_BYTES
        }
        missing = [file for file in wanted.values() if not await self._is_held(file)]
        lost: dict[str, RackferryError] = {}
        if look.reading is not None:
            slots = Slots(lambda: SMALL_FOR_ONE * self._transfers.most_at_once())
            getting = [slots.run(partial(self._get, look, file, lost)) for file in missing]
            await all_of([Deferred.fromCoroutine(each) for each in getting])
            missing = [file for file in missing if file.upstream_path in lost]
        if lost:
            named = "; ".join(
                f"{path}: {lost[path].message}" for path in sorted(lost)[:_MOST_NAMED]
            )
            self._run.note(
                Event(
                    "mirror-incomplete",
                    Severity.INFO,
                    look.name,
                    f"{len(lost)} files that stand beside its images could not be had: {named}",
                    "none for racks and machines; sstream-mirror ends at such a file: tell the "
                    "publisher",
                )
            )
        gone = {file.upstream_path for file in missing}
        return {path: file.sha256 for path, file in wanted.items() if path not in gone}

    async def _is_held(self, file: WantedFile) -> bool:
        return await self._database.read(blobs.find_complete, file.sha256) is not None

    async def _get(self, look: Look, file: WantedFile, lost: dict[str, RackferryError]) -> None:
        transfers, source = self._transfers, look.source
        name = f"{look.name} {file.upstream_path}"
        try:
            await fetch(
                Goal(file.sha256, file.size_bytes, None, name),
                [transfers.routes.origin(source, file.upstream_path, file.size_bytes)],
                SmallBlob(self._small, at_once, sha512=file.sha512),
                clock=transfers.clock,
                random=transfers.random,
                hashing=at_once,
                limits=transfers.limits,
                progress=lambda _: None,
                throttles=lambda _: transfers.throttles(source.id),
                wasted=transfers.wasted,
            )
        except ENDS_ALL:
            raise
        except RackferryError as error:
            lost[file.upstream_path] = error
