"""As whom a source is asked."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.errors import WrongUsage
from regiond.sources.credentials import Credentials, split_url


class CredentialsTests(SynchronousTestCase):
    def test_headers(self) -> None:
        """RFC 7617 for user and password, RFC 6750 for a token."""
        for credentials, kind, header in (
            (Credentials(), "none", ""),
            (Credentials("Aladdin", "open sesame"), "basic", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            (Credentials("u"), "basic", "Basic dTo="),
            (Credentials(bearer_token="mF_9.B5f-4.1JqM"), "bearer", "Bearer mF_9.B5f-4.1JqM"),
        ):
            self.assertEqual((credentials.kind, credentials.authorization), (kind, header))

    def test_what_no_header_can_carry_is_refused_without_repeating_it(self) -> None:
        """Two kinds, half of one, or characters that would end the header."""
        for wrong in (
            ("u", "geheim", "t"),
            (None, "geheim"),
            ("u:v", "geheim"),
            ("u", "geheim\r\nx: y"),
            ("u\0", "geheim"),
            (None, None, "geheim geheim"),
            (None, None, "geheim\r\n"),
            (None, None, "gehéim"),
        ):
            error = self.assertRaises(WrongUsage, Credentials, *wrong)
            self.assertEqual(error.code, "source-credentials")
            self.assertNotIn("geheim", error.line())

    def test_out_of_a_url(self) -> None:
        """User and password leave the URL, decoded; what is no URL is left to others."""
        for text, url, credentials in (
            ("http://h/a", "http://h/a", Credentials()),
            ("https://u:p%40ss@h:8443/a/", "https://h:8443/a/", Credentials("u", "p@ss")),
            ("http://u@h/", "http://h/", Credentials("u")),
            ("http://u:@h/", "http://h/", Credentials("u", "")),
            ("http://[", "http://[", Credentials()),
            ("nonsense", "nonsense", Credentials()),
        ):
            self.assertEqual(split_url(text), (url, credentials))
        self.assertRaises(WrongUsage, split_url, "http://u%FF:p@h/")

    @given(st.text("abc:/@%äß ", min_size=1, max_size=9), st.text("abc:/@%äß ", max_size=9))
    def test_a_password_stands_in_no_repr(self, username: str, password: str) -> None:
        """Only the user's name may be seen."""
        shown = repr(Credentials(username.replace(":", "."), f"#{password}#"))
        self.assertNotIn("#", shown)
