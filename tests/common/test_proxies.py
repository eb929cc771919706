"""What an admin types as a proxy, and which hosts are private by their name alone."""

from twisted.trial.unittest import SynchronousTestCase

from common.errors import WrongUsage
from common.proxies import Proxy, is_surely_private


class ProxyTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """Host and port, with user and password or without."""
        for text, proxy, name in (
            (
                "http://proxy.example:3128",
                Proxy("proxy.example", 3128),
                "http://proxy.example:3128",
            ),
            (" http://10.0.0.1:8080/ ", Proxy("10.0.0.1", 8080), "http://10.0.0.1:8080"),
            ("http://proxy", Proxy("proxy", 80), "http://proxy:80"),
            ("http://b\u00fccher:1", Proxy("xn--bcher-kva", 1), "http://xn--bcher-kva:1"),
            ("http://[::1]:3128", Proxy("::1", 3128), "http://[::1]:3128"),
            ("http://u:p%40ss@h:1", Proxy("h", 1, "Basic dTpwQHNz"), "http://h:1"),
            ("http://u@h:1", Proxy("h", 1, "Basic dTo="), "http://h:1"),
        ):
            found = Proxy.parse(text)
            self.assertEqual((found, found.name), (proxy, name))
            self.assertNotIn("Basic", repr(found))

    def test_what_is_no_proxy_is_refused_without_repeating_it(self) -> None:
        """Another scheme, a path, no host, a password that is not encoded."""
        for text in (
            "",
            "proxy:3128",
            "https://u:geheim@h:1",
            "socks5://u:geheim@h:1",
            "http://u:geheim@h:1/path",
            "http://u:geheim@h:1/?q",
            "http://u:geheim@",
            "http://u:geheim@a..b:1",
            f"http://u:geheim@{64 * 'a'}:1",
            "http://u:geheim/x@h:1",
            "http://u:geheim@h:99999999",
            "http://u:geheim@h:0",
            "http://u:%FFgeheim@h:1",
            "http://h:1\r\nx: geheim",
        ):
            error = self.assertRaises(WrongUsage, Proxy.parse, text)
            self.assertEqual(error.code, "source-proxy-url", text)
            self.assertNotIn("geheim", error.line())


class PrivateTests(SynchronousTestCase):
    def test_addresses_in_every_spelling_and_local_names(self) -> None:
        """Whatever a C library would take for an address is judged as one."""
        for host in (
            "127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "0.0.0.0", "::1", "[::1]",
            "fe80::1", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "127.1", "0x7f000001",
            "2130706433", "0177.0.0.1", "10.1", "0", "localhost", "LOCALHOST.", "a.localhost",
            "printer", "nas.local", "metadata.google.internal",
        ):  # fmt: skip
            self.assertTrue(is_surely_private(host), host)

    def test_all_else_is_the_proxys_to_judge(self) -> None:
        """Public addresses, and names that nobody here resolves."""
        for host in ("1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "images.maas.io", "a.b."):
            self.assertFalse(is_surely_private(host), host)
