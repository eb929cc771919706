"""Endpoints of hosts that are asked again and again."""

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import URI, BrowserLikePolicyForHTTPS

from common.known_endpoints import KnownEndpoints


class KnownEndpointsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.endpoints = KnownEndpoints(MemoryReactorClock(), BrowserLikePolicyForHTTPS(), 5.0)

    def of(self, uri: bytes) -> object:
        return self.endpoints.endpointForURI(URI.fromBytes(uri))

    def test_each_place_has_one(self) -> None:
        """Whatever is asked for there."""
        self.assertIs(self.of(b"http://a.example/x"), self.of(b"http://a.example/y"))

    def test_other_places_have_others(self) -> None:
        """Scheme, host and port tell places apart; only https is wrapped in TLS."""
        uris = (b"http://a.example", b"http://b.example", b"http://a.example:81")
        found = [self.of(uri) for uri in (*uris, b"https://a.example", b"https://a.example:80")]
        self.assertEqual(len(set(map(id, found))), len(found))
        kinds = [type(each).__name__ for each in found]
        self.assertEqual(kinds, ["HostnameEndpoint"] * 3 + ["_WrapperEndpoint"] * 2)
