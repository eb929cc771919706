"""Gets the older versions that a view wants at hand, when nothing else is to be done.

It comes after the tree is shown and reported, takes only room that nobody needs, and may be
cancelled at any time: what was fetched stays, and the next run goes on from there.
"""

from typing import Any

from twisted.internet.interfaces import IReactorTime

from common.errors import NoSpace, RackferryError
from common.pools import Threads
from rackd.kept import missing, to_fetch
from rackd.library import Library
from rackd.retention import RETENTION_S
from rackd.transfers import FetchBlob, Transfers, as_one
from rackd.wanted import ViewReader


class Keeping:
    """See the module.

    Args:
        reader: reads the view that is held.
        library: the disk.
        fetch: gets one file into the library.
        clock: for the time that passes.
        on_disk: runs what blocks on the disk.
    """

    def __init__(
        self,
        reader: ViewReader,
        library: Library,
        fetch: FetchBlob,
        *,
        clock: IReactorTime,
        on_disk: Threads,
    ) -> None:
        self._reader = reader
        self._library = library
        self._fetch = fetch
        self._clock = clock
        self._on_disk = on_disk
        self._looked: tuple[str, float] = ("", 0.0)
        self._reason = ""

    async def run(self) -> None:
        """Fetch what is missing and fits; nothing, if that was done lately for this view.

        Raises:
            RackferryError: not all of it came; what did stays.
        """
        current = self._library.current
        if current is None or not current.record.kept:
            return
        digest, now_s = current.record.view_digest, self._clock.seconds()
        if self._looked[0] == digest and now_s < self._looked[1]:
            return
        kept = (await self._reader.read(digest)).kept
        survey = await self._on_disk(self._library.survey)
        files = to_fetch(kept, survey.holdings)
        transfers = Transfers(self._fetch, files, dict(survey.holdings.partials))
        try:
            await transfers.run()
            if transfers.problems:
                raise as_one(transfers.problems)
        except NoSpace as error:
            self._reason = error.message
        except RackferryError as error:
            self._reason = error.line()
            raise
        else:
            wanted = {sha256 for each in kept for sha256 in missing(each, survey.holdings)}
            fits = wanted <= {file.sha256 for file in files}
            self._reason = "" if fits else "there is no room for more"
        # Later again: room may have come, and what went bad meanwhile was put aside.
        self._looked = (digest, now_s + RETENTION_S)

    async def status(self) -> dict[str, Any]:
        """How much of it is here, and why not all."""
        current = self._library.current
        kept = current.record.kept if current else ()
        here = await self._on_disk(
            lambda: [self._library.held_bytes(each) == each.size_bytes for each in kept]
        )
        return {
            "images": len(kept),
            "complete": sum(here),
            "size_bytes": sum(each.size_bytes for each in kept),
            "reason": "" if all(here) else self._reason,
        }
