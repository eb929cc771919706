"""The certificate that a region shows, by its own clock."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from common.errors import StorageError
from common.identity import certificate_pem, key_pem
from common.identity_files import SERVER_FILE
from regiond import own_certificate
from regiond.own_certificate import RENEWAL_S, OwnCertificate


class RenewalTests(SynchronousTestCase):
    """A region that runs for long."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="rf-")
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name)
        self.clock = Clock()
        self.certificate = self.open()

    def open(self) -> OwnCertificate:
        opened = OwnCertificate(self.path, ["region.example"], None, self.clock)
        opened.startService()
        self.addCleanup(opened.stopService)
        return opened

    def shown(self) -> tuple[int, int]:
        """The serial numbers at both ports."""
        ports = (self.certificate.for_racks, self.certificate.for_strangers)
        racks, strangers = (port.identity.certificate.serial_number for port in ports)
        return racks, strangers

    def age(self) -> int:
        """The certificate in the file nears its end."""
        then = datetime.now(UTC) - timedelta(days=250)
        aged = self.certificate.authority.issue_server(["region.example"], then)
        content = key_pem(aged.key) + certificate_pem(aged.certificate)
        (self.path / SERVER_FILE).write_bytes(content)
        return aged.certificate.serial_number

    def test_one_that_ages_is_replaced_within_a_day(self) -> None:
        """At both ports, and by one that ends later."""
        before, aged = self.shown(), self.age()
        self.clock.advance(RENEWAL_S)
        after = self.shown()
        self.assertEqual(len({*before, *after, aged}), 3)
        self.assertGreater(self.certificate.ends()["ca"], self.certificate.ends()["region"])

    def test_a_young_one_stays(self) -> None:
        """A day makes no difference, nor does a restart."""
        before = self.shown()
        self.clock.advance(RENEWAL_S)
        self.assertEqual(self.shown(), before)
        self.certificate = self.open()
        self.assertEqual(self.shown(), before)

    def test_a_failure_leaves_what_is(self) -> None:
        """It is tried again the next day."""
        before = self.shown()
        self.age()

        def fails(*_: object) -> None:
            raise StorageError("cannot be written", object="state")

        renew = own_certificate.server_identity
        self.patch(own_certificate, "server_identity", fails)
        self.clock.advance(RENEWAL_S)
        self.assertEqual(self.shown(), before)
        self.patch(own_certificate, "server_identity", renew)
        self.clock.advance(RENEWAL_S)
        self.assertNotEqual(self.shown(), before)

    def test_stopped_it_looks_no_more(self) -> None:
        """Nothing is left with the clock."""
        self.certificate.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
