"""Links and sessions as people meet them."""

import itertools

from common.errors import Refused
from regiond.web_sessions import IDLE_LIMIT_S, TOUCH_INTERVAL_S, WebSessions, secret_name
from tests.doubles.stores import NOW, OnSQLite, finished


class WebSessionTests(OnSQLite):
    def setUp(self) -> None:
        super().setUp()
        self.now = NOW
        counter = itertools.count(1)
        self.sessions = WebSessions(
            self.database,
            lambda: self.now,
            lambda size: next(counter).to_bytes(size, "big"),
        )

    def log_in(self) -> str:
        link, _ = finished(self.sessions.create_link("alice"))
        secret, _ = finished(self.sessions.log_in(link))
        return secret

    def test_a_secret_has_256_bits_and_is_never_the_same(self) -> None:
        """Links and sessions alike."""
        first, second = self.log_in(), self.log_in()
        self.assertEqual([len(first), len(second)], [43, 43])
        self.assertNotEqual(first, second)

    def test_a_link_is_no_session(self) -> None:
        """Nor the other way round."""
        link, _ = finished(self.sessions.create_link("alice"))
        self.assertIsNone(finished(self.sessions.find(link)))
        secret, _ = finished(self.sessions.log_in(link))
        with self.assertRaises(Refused):
            finished(self.sessions.log_in(secret))

    def test_strange_secrets_find_nothing(self) -> None:
        """Whatever a cookie may hold."""
        for secret in ("", "x", "\udcff", secret_name(self.log_in())):
            self.assertIsNone(finished(self.sessions.find(secret)))

    def test_only_what_its_person_does_keeps_it(self) -> None:
        """A page that is open asks whether it is alive, which changes nothing."""
        secret = self.log_in()
        session = finished(self.sessions.find(secret))
        assert session is not None
        self.now += IDLE_LIMIT_S - 1
        self.assertTrue(finished(self.sessions.is_alive(session)))
        self.now += 1
        self.assertFalse(finished(self.sessions.is_alive(session)))

    def test_being_there_is_noted_now_and_then(self) -> None:
        """Not with each request: that would be a write each."""
        secret = self.log_in()
        self.now += TOUCH_INTERVAL_S - 1
        found = finished(self.sessions.find(secret))
        assert found is not None
        self.assertEqual(found.seen_at, NOW)
        self.now += 1
        found = finished(self.sessions.find(secret))
        assert found is not None
        self.assertEqual(found.seen_at, self.now)
