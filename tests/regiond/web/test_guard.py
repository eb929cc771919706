"""Whose request it is, and whether a form is ours."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.errors import Refused
from regiond.web.guard import HEADERS, Asked, Outside, demand_token, form_token

TOKEN = "token"


class CookieTests(SynchronousTestCase):
    @given(st.text(max_size=60))
    def test_any_cookie_header_is_read(self, text: str) -> None:
        """Or holds no secret; nothing that a browser sends is an error."""
        self.assertIsInstance(Outside().secret_in(text, "h"), str)

    def test_the_secret_is_found_among_others(self) -> None:
        """Other programs on that host have cookies, too."""
        self.assertEqual(Outside().secret_in("a=b; rackferry=s-_1; c=d", "h"), "s-_1")
        self.assertEqual(Outside().secret_in("a=b", "h"), "")
        secure = Outside("https://h")
        self.assertEqual(secure.secret_in("rackferry=planted", "h"), "")
        self.assertEqual(secure.secret_in("__Host-rackferry=s", "h:8443"), "s")

    def test_two_regions_behind_tunnels_are_two(self) -> None:
        """Both are at localhost for the browser, whose cookies know no ports."""
        one, other = (
            Outside().cookie("s", "localhost:5240"),
            Outside().cookie("t", "localhost:5241"),
        )
        cookies = f"{one.partition(';')[0]}; {other.partition(';')[0]}"
        self.assertEqual(Outside().secret_in(cookies, "localhost:5240"), "s")
        self.assertEqual(Outside().secret_in(cookies, "localhost:5241"), "t")
        for host in ("h", "[::1]", "h:x", "h:\u00b2", ""):
            self.assertEqual(Outside().cookie("s", host).partition("=")[0], "rackferry")

    def test_logging_out_takes_it_away(self) -> None:
        """At once."""
        self.assertIn("Max-Age=0", Outside().cookie("", "h"))


class OriginTests(SynchronousTestCase):
    def is_let_through(self, url: str = "", **said: str) -> bool:
        try:
            Outside(url).demand_own_form(Asked("POST", "/import", host="h:5240", **said))
        except Refused as error:
            self.assertEqual(error.code, "web-origin")
            return False
        return True

    def test_what_the_browser_says_of_the_form_decides(self) -> None:
        """First what it says outright, then where the form was."""
        for said, expected in (
            ({}, True),
            ({"origin": "http://h:5240"}, True),
            ({"origin": "http://h"}, False),
            ({"origin": "https://h:5240"}, False),
            ({"origin": "null"}, False),
            ({"fetch_site": "same-origin", "origin": "null"}, True),
            ({"fetch_site": "same-site", "origin": "http://h:5240"}, False),
            ({"fetch_site": "cross-site"}, False),
            ({"fetch_site": "none"}, False),
        ):
            self.assertEqual(self.is_let_through(**said), expected, said)

    def test_behind_a_proxy_its_address_counts(self) -> None:
        """And not the host that the proxy asks for."""
        self.assertTrue(
            self.is_let_through("https://images.example", origin="https://images.example")
        )
        self.assertFalse(self.is_let_through("https://images.example", origin="http://h:5240"))


class TokenTests(SynchronousTestCase):
    def test_only_the_sessions_own_token(self) -> None:
        """Each session has another, and none tells its secret."""
        self.assertNotEqual(form_token("a"), form_token("b"))
        self.assertNotIn("secret", form_token("secret"))
        demand_token(Asked("POST", "/", form={TOKEN: (form_token("a"),)}, secret="a"))
        forms: tuple[dict[str, tuple[str, ...]], ...] = (
            {},
            {TOKEN: ("",)},
            {TOKEN: (form_token("b"),)},
            {TOKEN: ("ü\udcff",)},
        )
        for form in forms:
            with self.assertRaises(Refused):
                demand_token(Asked("POST", "/", form=form, secret="a"))

    def test_no_secret_is_in_what_might_be_logged(self) -> None:
        """A request may be printed."""
        asked = Asked("POST", "/", form={"code": ("hidden1",)}, secret="hidden2")
        self.assertNotIn("hidden", repr(asked))


class PolicyTests(SynchronousTestCase):
    def test_nothing_comes_from_elsewhere(self) -> None:
        """The policy names no host, and nothing inline."""
        policy = HEADERS["Content-Security-Policy"]
        self.assertTrue(policy.startswith("default-src 'none'; "))
        self.assertNotRegex(policy, r"http|unsafe|\*|data:")
