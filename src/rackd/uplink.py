"""The way to the regions: enrols if need be, and stands in while there is no connection.

A rack starts without certificate, region or DNS and serves what it has. Until there is a
certificate, everything that needs a region fails with the reason why there is none.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from twisted.application.service import MultiService
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.iweb import IAgent

from common.addresses import ENROL_PORT, RPC_PORT, parse_address
from common.backoff import backoff
from common.config import RackdConfig
from common.errors import ConfigError, RackferryError
from common.identity import Identity
from common.identity_files import load_rack_identity
from common.joining import join
from common.pools import Threads
from rackd.region_client import RegionClient

FIRST_RETRY_S = 2.0
LAST_RETRY_S = 60.0

_log = Logger()


class Uplink(MultiService):
    """Enrols, then holds the one ``RegionClient``.

    Args:
        reactor: for connections and time.
        config: the rack's.
        random: jitter, in [0, 1).
        on_disk: runs what blocks on the disk.

    Attributes:
        identity: the rack's certificate, once there is one.
        on_connected, on_view_changed, on_sync_now, on_lost, on_problem: as the client's; to
            be set before the start.
    """

    def __init__(
        self, reactor: Any, config: RackdConfig, random: Callable[[], float], on_disk: Threads
    ) -> None:
        super().__init__()
        self.on_connected: Callable[[], None] = lambda: None
        self.on_view_changed: Callable[[int, str], None] = lambda _generation, _digest: None
        self.on_sync_now: Callable[[], None] = lambda: None
        self.on_lost: Callable[[RackferryError], None] = lambda _reason: None
        self.on_problem: Callable[[RackferryError], None] = lambda _problem: None
        self.problem: RackferryError = _not_enrolled(config)
        self.identity: Identity | None = None
        self._reactor = reactor
        self._config = config
        self._random = random
        self._on_disk = on_disk
        self._client: RegionClient | None = None
        self._enrolling: Deferred[None] | None = None

    def startService(self) -> None:
        """Connect, as soon as there is a certificate."""
        super().startService()
        self._enrolling = Deferred.fromCoroutine(self._bring_up())
        self._enrolling.addErrback(self._broken)

    async def _stop(self) -> None:
        enrolling, self._enrolling = self._enrolling, None
        if enrolling is not None:
            enrolling.cancel()
            await enrolling
        stopping = super().stopService()
        if stopping is not None:
            await stopping

    def stopService(self) -> Deferred[None]:
        """Give up enrolling; end the connection."""
        return Deferred.fromCoroutine(self._stop())

    async def _bring_up(self) -> None:
        self.identity = identity = await self._identity()
        client = RegionClient(
            self._reactor,
            identity,
            [parse_address(region, RPC_PORT) for region in self._config.regions],
            self._config.state_dir,
            random=self._random,
            on_disk=self._on_disk,
        )
        client.on_connected = self.on_connected
        client.on_view_changed = self.on_view_changed
        client.on_sync_now = self.on_sync_now
        client.on_lost = self.on_lost
        client.on_problem = self.on_problem
        self._client = client
        client.setServiceParent(self)

    async def _identity(self) -> Identity:
        """Our certificate; enrols with the token, and tries again for as long as it takes."""
        failures = 0
        while True:
            try:
                found = await self._on_disk(lambda: load_rack_identity(self._config.state_dir))
                return found or await self._enrol()
            except RackferryError as error:
                failures += 1
                is_new = error.line() != self.problem.line() or failures == 1
                self.problem = error
                if is_new:
                    _log.warn("no certificate yet: {reason}", reason=error.line())
                    self.on_problem(error)
            wait_s = backoff(failures, self._random, base_s=FIRST_RETRY_S, cap_s=LAST_RETRY_S)
            await deferLater(self._reactor, wait_s)

    async def _enrol(self) -> Identity:
        config = self._config
        token = await self._on_disk(lambda: _token(config.token_file))
        enrol = config.enrol or next(iter(config.regions), "")
        if not token or not enrol:
            raise _not_enrolled(config)
        host, port = parse_address(enrol, ENROL_PORT)
        if not config.enrol:
            port = ENROL_PORT
        return await join(
            self._reactor,
            host,
            port,
            token,
            config.name,
            config.state_dir,
            token_file=config.token_file,
            on_disk=self._on_disk,
        )

    def _broken(self, failure: Any) -> None:
        if not failure.check(CancelledError):
            _log.failure("a bug in enrolment", failure)

    # What a region is asked, once there is one

    def _nobody(self) -> NoReturn:
        raise type(self.problem)(
            self.problem.message,
            object=self.problem.object,
            code=self.problem.code,
            remedy=self.problem.remedy,
        )

    @property
    def agent(self) -> IAgent:
        """Makes requests with the rack's certificate."""
        return self._client.agent if self._client else self._nobody()

    def image_bases(self) -> list[str]:
        """The base URLs of all known regions, the best first."""
        return self._client.image_bases() if self._client else []

    @property
    def has_others(self) -> bool:
        """Whether more than one address of a region is known."""
        return self._client is not None and self._client.has_others

    def doubt(self) -> None:
        """Find out soon whether the region still answers."""
        if self._client is not None:
            self._client.doubt()

    async def connected(self) -> None:
        """Wait until a region answers."""
        await (self._client or self._nobody()).connected()

    async def read_blob(
        self, sha256: str, *, of_digests: bool, offset: int, length: int
    ) -> tuple[bytes, int]:
        """See ``rackd.amp_blobs.Reader``."""
        client = self._client or self._nobody()
        return await client.read_blob(sha256, of_digests=of_digests, offset=offset, length=length)

    async def current_view(self, held: str) -> tuple[int, str]:
        """See ``rackd.follower.Region``."""
        return await (self._client or self._nobody()).current_view(held)

    async def document(self, sha256: str) -> bytes:
        """See ``rackd.syncing.Documents``."""
        return await (self._client or self._nobody()).document(sha256)

    async def report_progress(self, generation: int, fetched_bytes: int, total_bytes: int) -> None:
        """See ``rackd.follower.Region``."""
        client = self._client or self._nobody()
        await client.report_progress(generation, fetched_bytes, total_bytes)

    async def report_sync(self, generation: int, held: str, problem: str) -> None:
        """See ``rackd.follower.Region``."""
        await (self._client or self._nobody()).report_sync(generation, held, problem)


def _token(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot be read: {error}",
            object=str(path),
            remedy="give it to the user of rackd, mode 0600",
        ) from error


def _not_enrolled(config: RackdConfig) -> ConfigError:
    return ConfigError(
        f"has neither a certificate in {config.state_dir} nor a token in {config.token_file}",
        object=f"rack {config.name}",
        code="not-enrolled",
        remedy="rackferry rack-controllers create-token on the region, rackferry join here",
    )
