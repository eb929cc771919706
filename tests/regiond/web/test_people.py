"""What requests say, whoever wrote them."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from common.sites import QuietSite
from regiond.web.guard import Asked, Outside
from regiond.web.people import FormRequest, People, Reply

_HEADERS = (b"cookie", b"host", b"origin", b"sec-fetch-site", b"if-none-match", b"content-type")
_TEXT = st.binary(max_size=40).map(lambda text: bytes(set(text) - set(b"\0\r\n")))
_PATH = _TEXT.map(lambda text: b"/" + bytes(each for each in text if each > 32))


class RequestTests(SynchronousTestCase):
    def asked(self, path: bytes, *headers: bytes) -> tuple[bytes, Asked | None]:
        """The status line that is answered, and what was asked."""
        seen: list[Asked] = []

        async def answer(asked: Asked) -> Reply:
            seen.append(asked)
            return Reply()

        site = QuietSite(People(answer, Outside()), Clock(), FormRequest)
        channel, transport = site.buildProtocol(None), StringTransport()
        channel.makeConnection(transport)
        channel.dataReceived(b"\r\n".join((b"GET " + path + b" HTTP/1.1", *headers, b"", b"")))
        status = transport.value().partition(b"\r\n")[0]
        return status, seen[0] if seen else None

    @given(_PATH, st.sampled_from(_HEADERS), _TEXT)
    def test_whatever_a_stranger_sends_is_no_fault_of_ours(
        self, path: bytes, name: bytes, value: bytes
    ) -> None:
        """No path and no header makes an internal error, with a traceback in the log."""
        status, _ = self.asked(path, name + b": " + value)
        self.assertNotIn(b" 500 ", status)

    def test_what_looks_like_a_host_is_part_of_the_path(self) -> None:
        """Two slashes are no address here, and a bracket is none that is malformed."""
        for path in ("//racks", "//[", "//a:b/"):
            status, asked = self.asked(path.encode())
            self.assertIn(b" 200 ", status)
            self.assertEqual(asked and asked.path, path)

    def test_a_session_is_found_beside_any_cookie(self) -> None:
        """Other programs on that host, at any port, write theirs in all ways."""
        for other in (b'seen={"a": 1}', b"no name", b"umlaut=\xff", b'open="', b"expires=Wed"):
            _, asked = self.asked(b"/", b"Cookie: " + other + b"; rackferry=s-_1")
            self.assertEqual(asked and asked.secret, "s-_1", other)
