"""Where something listens, as configurations write it."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from common.addresses import parse_address, tcp_port, unix_path


class AddressTests(SynchronousTestCase):
    """Addresses and socket paths."""

    def test_forms(self) -> None:
        """A name, a port and IPv6 in brackets are understood."""
        self.assertEqual(parse_address("region.example", 5250), ("region.example", 5250))
        self.assertEqual(parse_address("10.0.0.1:99", 5250), ("10.0.0.1", 99))
        self.assertEqual(parse_address("[2001:db8::1]:99", 5250), ("2001:db8::1", 99))

    def test_what_is_no_address(self) -> None:
        """Nothing else is."""
        for text in ("", "a:", "a:0", "a:65536", "a b", "::1", "http://a", "a/b", "u@h"):
            self.assertRaises(ValueError, parse_address, text, 5250)

    def test_tcp_port(self) -> None:
        """The port of a TCP endpoint is found, if it names one."""
        self.assertEqual(tcp_port("tcp:80:interface=10.0.0.1"), 80)
        self.assertEqual(tcp_port("tcp6:port=5248"), 5248)
        for text in ("tcp:0", "unix:/run/a.sock", "systemd:domain=INET:name=images"):
            self.assertIsNone(tcp_port(text))

    def test_unix_path(self) -> None:
        """The path of a Unix endpoint is found, also with an escaped colon."""
        self.assertEqual(unix_path("unix:/run/a.sock:mode=660"), Path("/run/a.sock"))
        self.assertEqual(unix_path(r"unix:address=/run/a\:b"), Path("/run/a:b"))
        self.assertIsNone(unix_path("tcp:80"))
