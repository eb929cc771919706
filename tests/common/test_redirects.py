"""Where a boot source may redirect to."""

from typing import Any

from hyperlink import URL
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import DNSLookupError
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent
from zope.interface import implementer

from common.errors import SourceError
from common.redirects import FollowingAgent, PublicNames, is_same_place, redirect_target
from common.release import release


class TargetTests(SynchronousTestCase):
    """``redirect_target``."""

    def test_same_scheme_or_better(self) -> None:
        """Relative, absolute and upgraded targets are followed."""
        http, https = URL.from_text("http://a.example/x/y"), URL.from_text("https://a.example/x/y")
        self.assertEqual(redirect_target(http, "z").to_text(), "http://a.example/x/z")
        self.assertEqual(redirect_target(http, "https://b.example/").scheme, "https")
        self.assertEqual(redirect_target(https, "//b.example/q").to_text(), "https://b.example/q")

    def test_an_ipv6_address(self) -> None:
        """Is a target like any other; one with a zone is none: zones are of this machine."""
        http = URL.from_text("http://a.example/x")
        for location in ("http://[2606:4700::1111]/f", "http://[::1]:8080/f"):
            self.assertEqual(redirect_target(http, location).to_text(), location)
        for location in ("http://[fe80::1%25eth0]/f", "http://[fe80::1%eth0]/f", "http://[::1/"):
            error = self.assertRaises(SourceError, redirect_target, http, location)
            self.assertEqual(error.code, "source-redirect", location)

    def test_worse_and_odd_targets_are_refused(self) -> None:
        """No downgrade, no other scheme, nothing that is not an address."""
        https = URL.from_text("https://user:secret@a.example/x?token=1")
        for location in (
            "http://a.example/",
            "file:///etc/passwd",
            "ftp://b/",
            "https:",
            "http://[",
            "gopher:x",
        ):
            error = self.assertRaises(SourceError, redirect_target, https, location)
            is_address = location.startswith(("http://a", "file:", "ftp:"))
            expected = "source-redirect-scheme" if is_address else "source-redirect"
            self.assertEqual(error.code, expected, location)
            self.assertNotIn("secret", error.message)
            self.assertNotIn("token", error.message)

    def test_the_same_place_is_the_same_port(self) -> None:
        """Credentials go to the same host and port, or from port 80 to 443, nowhere else."""
        place = URL.from_text("http://a.example/x")
        for text, same in (
            ("http://a.example/y", True),
            ("https://a.example/", True),
            ("http://a.example:8080/", False),
            ("http://b.example/", False),
        ):
            self.assertEqual(is_same_place(place, URL.from_text(text)), same, text)


class Answer:
    """A response of a scripted agent."""

    def __init__(self, code: int, location: str | None = None) -> None:
        self.code = code
        self.headers = Headers({"location": [location]} if location is not None else {})

    def deliverBody(self, protocol: Any) -> None:
        """A redirect's body is dropped; here it is empty."""
        protocol.connectionLost()


@implementer(IAgent)
class ScriptedAgent:
    """Answers from a table; notes who was asked with which headers."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Headers]] = []

    def request(
        self, method: bytes, uri: bytes, headers: Any = None, body: Any = None
    ) -> Deferred[Any]:
        self.asked.append((uri.decode(), headers))
        answer = self.answers[uri.decode()]
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)


class FollowingTests(SynchronousTestCase):
    """``FollowingAgent``."""

    def follow(
        self, trusted: dict[str, Any], public: dict[str, Any], start: str = "http://a/"
    ) -> Deferred[Any]:
        self.trusted, self.public = ScriptedAgent(trusted), ScriptedAgent(public)
        agent = FollowingAgent(self.trusted, self.public, lambda host: host == "private")
        headers = Headers({"authorization": ["Basic x"], "cookie": ["c"], "range": ["bytes=5-"]})
        return agent.request(b"GET", start.encode(), headers)

    def test_answers_that_are_no_redirects_come_back(self) -> None:
        """Any other status, and a redirect to nowhere, is the caller's."""
        for code in (200, 206, 304, 404, 503, 300):
            answer = Answer(code, "http://b/" if code == 300 else None)
            self.assertIs(self.successResultOf(self.follow({"http://a/": answer}, {})), answer)

    def test_requests_say_who_asks(self) -> None:
        """Name and release, at every host, and nothing that tells one installation apart."""
        self.successResultOf(
            self.follow({"http://a/": Answer(302, "http://b/f")}, {"http://b/f": Answer(200)})
        )
        for agent in (self.trusted, self.public):
            (_, headers), *_ = agent.asked
            self.assertEqual(headers.getRawHeaders("user-agent"), [f"Rackferry/{release()}"])

    def test_another_host_gets_no_credentials_and_must_be_public(self) -> None:
        """The second host is asked by the public agent, with the range but no secrets."""
        end = Answer(206)
        following = self.follow({"http://a/": Answer(302, "http://b/f")}, {"http://b/f": end})
        self.assertIs(self.successResultOf(following), end)
        url, headers = self.public.asked[0]
        self.assertEqual(url, "http://b/f")
        self.assertEqual(
            {name for name, _ in headers.getAllRawHeaders()}, {b"Range", b"User-Agent"}
        )

    def test_secrets_do_not_come_back(self) -> None:
        """After a detour over another host the first one gets no credentials either."""
        following = self.follow(
            {"http://a/": Answer(301, "http://b/"), "http://a/2": Answer(200)},
            {"http://b/": Answer(301, "http://a/2")},
        )
        self.successResultOf(following)
        self.assertFalse(self.trusted.asked[1][1].hasHeader("authorization"))

    def test_the_same_host_keeps_them(self) -> None:
        """A redirect within the host that the admin typed is like a direct request."""
        following = self.follow({"http://a/": Answer(307, "/2"), "http://a/2": Answer(200)}, {})
        self.successResultOf(following)
        self.assertTrue(self.trusted.asked[1][1].hasHeader("authorization"))

    def test_three_are_followed_and_a_loop_ends(self) -> None:
        """The fourth redirect is refused."""
        chain = {f"http://a/{n}": Answer(302, f"/{n + 1}") for n in range(3)}
        self.successResultOf(self.follow({**chain, "http://a/3": Answer(200)}, {}, "http://a/0"))
        following = self.follow({"http://a/": Answer(302, "/")}, {})
        error = self.failureResultOf(following, SourceError).value
        self.assertEqual(error.code, "source-redirect-loop")
        self.assertEqual(len(self.trusted.asked), 4)

    def test_a_target_that_is_no_text_is_asked_for_as_it_can_be(self) -> None:
        """Bytes that are no UTF-8 lead nowhere, and break nothing."""
        odd = Answer(302)
        odd.headers = Headers({b"location": [b"/\xff"]})
        there = "http://a/%EF%BF%BD"
        self.successResultOf(self.follow({"http://a/": odd, there: Answer(404)}, {}))
        self.assertEqual([uri for uri, _ in self.trusted.asked], ["http://a/", there])

    def test_an_address_that_is_not_public_is_not_asked(self) -> None:
        """In whatever form it is written, and only there: the same answer as for a name."""
        for host in ("[::1]", "[::ffff:10.0.0.1]", "[fd00::1]", "127.0.0.1", "0x7f.1"):
            following = self.follow({"http://a/": Answer(302, f"http://{host}/")}, {})
            error = self.failureResultOf(following, SourceError).value
            self.assertEqual(error.code, "source-redirect-private", host)
            self.assertEqual(self.public.asked, [])
        end = Answer(200)
        there = "http://[2606:4700::1111]/"
        following = self.follow({"http://a/": Answer(302, there)}, {there: end})
        self.assertIs(self.successResultOf(following), end)

    def test_a_private_host_is_named(self) -> None:
        """A target without a public address is a refusal; an unknown name is the network's."""
        unknown = DNSLookupError("no results")
        for host, family in (("private", SourceError), ("unknown", DNSLookupError)):
            following = self.follow(
                {"http://a/": Answer(302, f"http://{host}/")}, {f"http://{host}/": unknown}
            )
            error = self.failureResultOf(following, family).value
            if family is SourceError:
                self.assertEqual(error.code, "source-redirect-private")


class Resolver:
    """Resolves every name to the given addresses."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = hosts

    def resolveHostName(self, receiver: Any, name: str, port: int = 0, *rest: Any) -> Any:
        receiver.resolutionBegan(None)
        for host in self.hosts:
            kind = IPv6Address if ":" in host else IPv4Address
            receiver.addressResolved(kind("TCP", host, port))
        receiver.resolutionComplete()


class Receiver:
    """Notes what was resolved."""

    def __init__(self) -> None:
        self.hosts: list[str] = []
        self.complete = False

    def resolutionBegan(self, resolution: Any) -> None:
        """Nothing to note."""

    def addressResolved(self, address: Any) -> None:
        self.hosts.append(address.host)

    def resolutionComplete(self) -> None:
        self.complete = True


class PublicNamesTests(SynchronousTestCase):
    """``PublicNames``."""

    def test_only_public_addresses_are_told(self) -> None:
        """Loopback, private, link-local, metadata and mapped addresses are kept back."""
        private = (
            "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
            "0.0.0.0", "::1", "fe80::1", "fd00:ec2::254", "::ffff:127.0.0.1",
        )  # fmt: skip
        for host in private:
            names, receiver = PublicNames(Resolver(host)), Receiver()
            names.resolveHostName(receiver, "evil.example", 80)
            self.assertEqual((receiver.hosts, receiver.complete), ([], True), host)
            self.assertEqual(names.refused, {"evil.example"})
        names, receiver = (
            PublicNames(Resolver("10.0.0.1", "1.1.1.1", "2606:4700::1111")),
            Receiver(),
        )
        names.resolveHostName(receiver, "mixed.example", 80)
        self.assertEqual(receiver.hosts, ["1.1.1.1", "2606:4700::1111"])
