"""The regions that a rack knows: the configured ones, and those it learnt of, kept on disk."""

from collections.abc import Sequence
from pathlib import Path

from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from common.canonical import canonical_json, parse
from common.durable import write_durably
from common.errors import ProtocolError, RackferryError
from common.pools import Threads
from common.regions import RegionEndpoint

MAX_REGIONS = 64
REGIONS_FILE = "regions.json"

Address = tuple[str, int]


class KnownRegions:
    """Where regions can be reached.

    Args:
        configured: addresses, (host, RPC port).
        state_dir: where learnt regions are kept.
        on_disk: runs what blocks on the disk.

    Attributes:
        last: the address where one answered last; None before that.
    """

    log = Logger()

    def __init__(self, configured: Sequence[Address], state_dir: Path, on_disk: Threads) -> None:
        self.last: Address | None = None
        self._configured = list(configured)
        self._path = state_dir / REGIONS_FILE
        self._on_disk = on_disk
        self._learnt: tuple[RegionEndpoint, ...] = ()
        self._remembering = DeferredLock()

    async def recall(self) -> None:
        """Know again what was kept; a file that cannot be used is as good as none."""
        self._learnt = await self._on_disk(lambda: _remembered(self._path))

    async def settle(self) -> None:
        """Wait until the last write has ended."""
        await self._remembering.acquire()
        self._remembering.release()

    def addresses(self) -> list[Address]:
        """Where to try, without repetition; where we were last, after all others."""
        learnt = [address for region in self._learnt for address in region.rpc_addresses]
        addresses = list(dict.fromkeys([*self._configured, *learnt]))
        return sorted(addresses, key=lambda address: address == self.last)

    @property
    def has_others(self) -> bool:
        """Whether more than one address is known."""
        return len(self.addresses()) > 1

    def image_bases(self) -> list[str]:
        """``https://host:port`` of all regions, the one we are connected to first."""
        last = self.last
        ordered = sorted(self._learnt, key=lambda each: last not in each.rpc_addresses)
        host = last[0] if last else ""
        return [base for region in ordered for base in region.image_bases(host)]

    def learn(self, regions: Sequence[RegionEndpoint]) -> None:
        """These are all; none are no news."""
        if tuple(regions) != self._learnt and regions:
            self._learnt = tuple(regions)[:MAX_REGIONS]
            # Nobody waits: a disk that is slow or hangs is no reason to be without a region.
            remembering = Deferred.fromCoroutine(self._remember())
            remembering.addErrback(
                lambda failure: self.log.failure("a bug in remembering", failure)
            )

    async def _remember(self) -> None:
        """Keep the newest regions, in the turn of the last write."""
        await self._remembering.acquire()
        try:
            content = canonical_json(list(self._learnt))
            await self._on_disk(lambda: write_durably(self._path, content))
        except RackferryError as error:  # nor is a full one
            self.log.warn("the regions were not remembered: {reason}", reason=error.line())
        finally:
            self._remembering.release()


def _remembered(path: Path) -> tuple[RegionEndpoint, ...]:
    try:
        return parse(tuple[RegionEndpoint, ...], path.read_bytes(), "list of regions")
    except (OSError, ProtocolError):
        return ()
