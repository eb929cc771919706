"""The certificate by which racks know a region: made at the first start, renewed while it runs."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from common.errors import RackferryError
from common.identity import Identity, utc_now
from common.identity_files import load_or_create_authority, server_identity
from common.tls import ServerTLS

RENEWAL_S = timedelta(days=1).total_seconds()


class OwnCertificate(Service):
    """The authority of a region, and the certificate that it shows; looked at once a day.

    Args:
        state_dir: where both are kept.
        names: those by which racks dial.
        credentials_dir: systemd's CREDENTIALS_DIRECTORY, if it gave one.
        clock: for the daily look.

    Attributes:
        authority: signs racks' certificates.
        for_racks: TLS that asks for a rack's certificate.
        for_strangers: TLS for those who have none yet.

    Raises:
        ConfigError, StorageError, NoSpace: it cannot be read or made.
    """

    log = Logger()

    def __init__(
        self, state_dir: Path, names: Iterable[str], credentials_dir: Path | None, clock: Any
    ) -> None:
        self._state_dir = state_dir
        self._names = tuple(names)
        self.authority = load_or_create_authority(state_dir, utc_now(), credentials_dir)
        identity = self._identity()
        self.for_racks = ServerTLS(identity, asks_certificate=True)
        self.for_strangers = ServerTLS(identity, asks_certificate=False)
        self._renewal = LoopingCall(self.renew)
        self._renewal.clock = clock

    def startService(self) -> None:
        """Look once a day."""
        super().startService()
        self._renewal.start(RENEWAL_S, now=False)

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        if self._renewal.running:
            self._renewal.stop()

    def renew(self) -> None:
        """Show a new certificate if it is time for one; a failure is logged, and tried again."""
        try:
            identity = self._identity()
        except RackferryError as error:
            self.log.error("the certificate was not renewed: {reason}", reason=error.line())
            return
        self.for_racks.use(identity)
        self.for_strangers.use(identity)

    def ends(self) -> dict[str, float]:
        """When each certificate ends, in seconds since the epoch."""
        shown = self.for_racks.identity.certificate
        return {
            "ca": self.authority.certificate.not_valid_after_utc.timestamp(),
            "region": shown.not_valid_after_utc.timestamp(),
        }

    def _identity(self) -> Identity:
        return server_identity(self.authority, self._state_dir, self._names, utc_now())
