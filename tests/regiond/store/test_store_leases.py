from regiond.store import leases
from tests.doubles.stores import NOW, OnPostgreSQL, OnSQLite, Store

TTL_S = 15.0


class LeaseSuite(Store):
    def acquire(self, holder: str, now: float = NOW) -> int | None:
        return self.write(leases.acquire, "import", holder, now, TTL_S)

    def test_one_holder_at_a_time(self) -> None:
        """While a lease is held nobody else gets it; other leases are others'."""
        self.assertEqual(self.acquire("a"), 1)
        self.assertIsNone(self.acquire("b", NOW + TTL_S - 1))
        self.assertEqual(self.write(leases.acquire, "scrub", "b", NOW, TTL_S), 1)

    def test_the_token_grows_with_every_grant(self) -> None:
        """After expiry, release or restart of the holder, older tokens are recognisable."""
        self.assertEqual(self.acquire("a"), 1)
        self.assertEqual(self.acquire("b", NOW + TTL_S), 2)
        self.assertEqual(self.acquire("b", NOW + TTL_S), 3)
        self.write(leases.release, "import", 3)
        self.assertEqual(self.acquire("a", NOW + TTL_S), 4)

    def test_renewing_needs_the_newest_token(self) -> None:
        """A holder that slept through its lease learns it by renewing."""
        self.acquire("a")
        self.assertTrue(self.write(leases.renew, "import", 1, NOW + 10, TTL_S))
        self.assertIsNone(self.acquire("b", NOW + 20))
        self.assertEqual(self.acquire("b", NOW + 25), 2)
        self.assertFalse(self.write(leases.renew, "import", 1, NOW + 25, TTL_S))

    def test_releasing_with_an_old_token_changes_nothing(self) -> None:
        """A late release does not take the lease from its next holder."""
        self.acquire("a")
        self.acquire("b", NOW + TTL_S)
        self.write(leases.release, "import", 1)
        self.assertIsNone(self.acquire("a", NOW + TTL_S + 1))
        self.write(leases.release, "import", 2)
        self.assertFalse(self.write(leases.renew, "import", 2, NOW + TTL_S, TTL_S))
        self.assertEqual(self.acquire("a", NOW + TTL_S + 1), 3)


class LeasesOnSQLite(LeaseSuite, OnSQLite):
    pass


class LeasesOnPostgreSQL(LeaseSuite, OnPostgreSQL):
    pass
