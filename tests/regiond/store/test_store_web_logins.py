"""Links and sessions of the page, on both engines."""

from common.errors import Refused
from regiond.store import web_logins
from tests.doubles.stores import NOW, OnPostgreSQL, OnSQLite, Store

LINK, SESSION, OTHER = "a" * 64, "b" * 64, "c" * 64


class WebLoginSuite(Store):
    def redeem(self, link: str = LINK, session: str = SESSION, now: float = NOW) -> object:
        return self.write(web_logins.redeem_link, link, session, now, idle_since=now - 100.0)

    def test_a_link_is_good_once(self) -> None:
        """The second who tries it is refused, and gets no session."""
        self.write(web_logins.add_link, LINK, "alice", NOW + 10, NOW)
        self.redeem()
        with self.assertRaises(Refused) as caught:
            self.redeem(session=OTHER)
        self.assertEqual(caught.exception.code, "web-login")
        found = self.read(web_logins.find_session, SESSION, NOW - 1)
        self.assertEqual(found, web_logins.WebSession(SESSION, "alice", NOW, NOW))
        self.assertIsNone(self.read(web_logins.find_session, OTHER, 0.0))

    def test_a_link_expires(self) -> None:
        """At the second that it says."""
        self.write(web_logins.add_link, LINK, "alice", NOW + 10, NOW)
        self.assertRaises(Refused, self.redeem, now=NOW + 10)

    def test_what_expired_goes(self) -> None:
        """Links with the next link, sessions with the next login."""
        self.write(web_logins.add_link, LINK, "alice", NOW + 10, NOW)
        self.write(web_logins.add_link, OTHER, "bob", NOW + 30, NOW + 20)
        # Even for somebody whose clock is behind it is gone.
        self.assertRaises(Refused, self.redeem)
        self.redeem(OTHER, now=NOW + 20)
        self.write(web_logins.add_link, LINK, "alice", NOW + 500, NOW + 400)
        self.redeem(session=OTHER, now=NOW + 400)
        self.assertIsNone(self.read(web_logins.find_session, SESSION, 0.0))

    def test_a_session_lives_as_long_as_it_is_used(self) -> None:
        """And ends at once when its person leaves."""
        self.write(web_logins.add_link, LINK, "alice", NOW + 10, NOW)
        self.redeem()
        self.assertIsNone(self.read(web_logins.find_session, SESSION, NOW))
        self.write(web_logins.touch_session, SESSION, NOW + 50)
        self.assertIsNotNone(self.read(web_logins.find_session, SESSION, NOW))
        self.write(web_logins.end_session, SESSION)
        self.assertIsNone(self.read(web_logins.find_session, SESSION, 0.0))

    def test_a_notice_is_read_once(self) -> None:
        """The newest, by the session that it was left for."""
        self.write(web_logins.add_link, LINK, "alice", NOW + 10, NOW)
        self.redeem()
        self.assertEqual(self.write(web_logins.take_notice, SESSION), "")
        for notice in ("first", "second"):
            self.write(web_logins.leave_notice, SESSION, notice)
        self.write(web_logins.leave_notice, OTHER, "nobody's")
        found = self.read(web_logins.find_session, SESSION, 0.0)
        assert found is not None
        self.assertEqual(found.notice, "second")
        said = [self.write(web_logins.take_notice, SESSION) for _ in range(2)]
        self.assertEqual(said, ["second", ""])
        self.assertEqual(self.write(web_logins.take_notice, OTHER), "")


class WebLoginsOnSQLite(WebLoginSuite, OnSQLite):
    pass


class WebLoginsOnPostgreSQL(WebLoginSuite, OnPostgreSQL):
    pass
