from typing import Any

from common.errors import NotFound, Refused
from regiond.store import racks
from regiond.store.racks import StoredCertificate
from tests.doubles.stores import NOW, OnPostgreSQL, OnSQLite, Store

HOUR_S = 3600.0
SECRET = "5e" * 32
KEY = "0a" * 32
OTHER_KEY = "0b" * 32


class RackSuite(Store):
    def setUp(self) -> None:
        super().setUp()
        self.issued: list[str] = []

    def issue(self, name: str, key: str = KEY) -> StoredCertificate:
        self.issued.append(name)
        serial = f"c0{len(self.issued)}"
        return StoredCertificate(serial, key, NOW + 365 * 24 * HOUR_S, serial.encode())

    def token(self, name: str = "rack-1", secret: str = SECRET) -> None:
        self.write(racks.create_token, secret, name, NOW + HOUR_S, NOW)

    def redeem(
        self, secret: str = SECRET, key: str = KEY, name: str = "rack-1", now: float = NOW
    ) -> StoredCertificate:
        return self.write(
            racks.redeem_token, secret, key, name, now, lambda name: self.issue(name, key)
        )

    def assert_refused(self, code: str, **how: Any) -> None:
        with self.assertRaises(Refused) as caught:
            self.redeem(**how)
        self.assertEqual(caught.exception.code, code)

    def test_a_token_makes_a_rack(self) -> None:
        """Its certificate is known, the rack is active and holds nothing yet."""
        self.token()
        issued = self.redeem()
        known = self.read(racks.rack_by_serial, issued.serial)
        self.assertEqual((known.name, known.spki_sha256), ("rack-1", KEY))
        (rack,) = self.read(racks.list_racks)
        self.assertEqual((rack.name, rack.held_digest, rack.held_generation), ("rack-1", "", 0))

    def test_the_same_key_gets_the_same_certificate_again(self) -> None:
        """A lost answer can be asked for again, even after the token's hour."""
        self.token()
        first = self.redeem()
        again = self.redeem(now=NOW + 2 * HOUR_S)
        self.assertEqual((again.serial, again.pem), (first.serial, first.pem))
        self.assertEqual(self.issued, ["rack-1"])

    def test_each_way_to_be_refused_has_its_code(self) -> None:
        """Unknown, expired, used by another key, for another name: nothing is issued."""
        self.assert_refused("token-unknown")
        self.token()
        self.assert_refused("token-wrong-name", name="rack-2")
        self.assert_refused("token-expired", now=NOW + HOUR_S)
        self.assertEqual(self.issued, [])
        self.redeem()
        self.assert_refused("token-used", key=OTHER_KEY)
        self.assertEqual(self.issued, ["rack-1"])

    def test_a_machine_may_leave_its_name_to_the_token(self) -> None:
        """Without a name the rack is called what the token says."""
        self.token()
        self.redeem(name="")
        self.assertEqual(self.issued, ["rack-1"])

    def test_a_token_for_an_existing_rack_replaces_its_certificate(self) -> None:
        """The old certificate is refused from then on; the rack is still one."""
        self.token()
        old = self.redeem()
        self.token(secret="5f" * 32)
        new = self.redeem(secret="5f" * 32, key=OTHER_KEY)
        self.assertIsNone(self.read(racks.rack_by_serial, old.serial))
        self.assertEqual(self.read(racks.rack_by_serial, new.serial).name, "rack-1")
        self.assertEqual(len(self.read(racks.list_racks)), 1)
        self.assert_refused("token-used")

    def test_a_deleted_rack_is_unknown_at_once(self) -> None:
        """Its certificates are revoked, and tokens that wait for it are void."""
        self.token()
        issued = self.redeem()
        self.token(secret="5f" * 32)
        revoked = self.write(racks.delete_rack, "rack-1", NOW)
        self.assertEqual(revoked, (issued.serial,))
        self.assertIsNone(self.read(racks.rack_by_serial, issued.serial))
        self.assertEqual(self.read(racks.list_racks), ())
        self.assertRaises(NotFound, self.read, racks.rack_named, "rack-1")
        self.assertRaises(NotFound, self.write, racks.delete_rack, "rack-1", NOW)
        self.assert_refused("token-used")
        self.assert_refused("token-unknown", secret="5f" * 32)

    def test_a_deleted_rack_can_enrol_again(self) -> None:
        """With a new token it is a rack like any other; old certificates stay refused."""
        self.token()
        old = self.redeem()
        self.write(racks.delete_rack, "rack-1", NOW)
        self.token(secret="5f" * 32)
        new = self.redeem(secret="5f" * 32)
        self.assertIsNotNone(self.read(racks.rack_by_serial, new.serial))
        self.assertIsNone(self.read(racks.rack_by_serial, old.serial))

    def test_a_report_is_kept(self) -> None:
        """What a rack holds, when it last succeeded, and what is wrong with it."""
        self.token()
        self.redeem()
        self.write(racks.report_sync, "rack-1", 4, "ab" * 32, None, NOW + 1)
        problem = {"code": "no-space", "message": "full"}
        self.write(racks.report_sync, "rack-1", 5, "ab" * 32, problem, NOW + 2)
        rack = self.read(racks.rack_named, "rack-1")
        self.assertEqual((rack.held_digest, rack.last_sync_at), ("ab" * 32, NOW + 1))
        self.assertEqual((rack.problem, rack.last_seen_at), (problem, NOW + 2))
        self.write(racks.report_sync, "rack-1", 6, "", None, NOW + 3)
        rack = self.read(racks.rack_named, "rack-1")
        self.assertEqual((rack.problem, rack.held_generation), (None, 0))


class RacksOnSQLite(RackSuite, OnSQLite):
    pass


class RacksOnPostgreSQL(RackSuite, OnPostgreSQL):
    pass
