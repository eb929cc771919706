"""Which hosts are addresses, and which of these everybody can reach."""

from ipaddress import IPv4Address, IPv6Address, ip_address

from hyperlink import URL
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.hosts import address_of, as_uri, is_public

PUBLIC = (
    "1.1.1.1", "91.189.91.157", "2606:4700::1111", "2a00:1450:4001:80b::200e", "::ffff:1.1.1.1",
    "64:ff9b::1.1.1.1", "2002:101:101::1",
)  # fmt: skip
PRIVATE = {
    "this host": ("0.0.0.0", "127.0.0.1", "127.255.255.254", "::", "::1"),
    "private networks": ("10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1"),
    "unique local": ("fc00::1", "fd00:ec2::254"),
    "this link": ("169.254.169.254", "fe80::1", "febf::1"),
    "site-local, of old": ("fec0::1",),
    "everybody at once": ("224.0.0.1", "239.255.255.250", "255.255.255.255", "ff02::1", "ff0e::1"),
    "documentation": ("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"),
    "benchmarks, and for later": ("198.18.0.1", "240.0.0.1", "2001:2::1", "100::1", "4000::1"),
    "an IPv4 address within": (
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:0",
        "::127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1.1.1.1", "2002:7f00:1::1", "2002:a00:1::1", "2001:0:7f00:1::1",
    ),
    "with a zone": ("fe80::1%eth0", "fe80::1%1", "2606:4700::1111%eth0", "::1%lo"),
}  # fmt: skip


class PublicTests(SynchronousTestCase):
    """``is_public``."""

    def test_public(self) -> None:
        """What everybody can reach, also as an IPv6 address that stands for it."""
        for text in PUBLIC:
            self.assertTrue(is_public(ip_address(text)), text)

    def test_private(self) -> None:
        """All else, whatever it is called."""
        for what, texts in PRIVATE.items():
            for text in texts:
                self.assertFalse(is_public(ip_address(text)), f"{what}: {text}")

    @given(st.ip_addresses(v=4))
    def test_one_that_stands_for_another_is_judged_by_that(self, inner: IPv4Address) -> None:
        """Mapped, translated or tunnelled: the same verdict."""
        for outer in (
            f"::ffff:{inner}",
            f"64:ff9b::{inner}",
            IPv6Address((0x2002 << 112) | (int(inner) << 80)),
        ):
            self.assertEqual(is_public(IPv6Address(outer)), is_public(inner), outer)


class AddressTests(SynchronousTestCase):
    """``address_of``."""

    def test_every_spelling(self) -> None:
        """Whatever a C library takes for an address is one."""
        for text, address in (
            ("127.0.0.1", "127.0.0.1"), ("127.1", "127.0.0.1"), ("2130706433", "127.0.0.1"),
            ("0x7f000001", "127.0.0.1"), ("0177.0.0.1", "127.0.0.1"), ("10.1", "10.0.0.1"),
            ("[::1]", "::1"), ("::1", "::1"), ("0:0:0:0:0:0:0:1", "::1"), ("FE80::1", "fe80::1"),
            ("[::ffff:a00:1]", "::ffff:10.0.0.1"), ("fe80::1%eth0", "fe80::1%eth0"),
        ):  # fmt: skip
            self.assertEqual(address_of(text), ip_address(address), text)

    def test_names(self) -> None:
        """A name is no address, and neither is nonsense."""
        for text in ("images.maas.io", "localhost", "b\u00fccher", "", "1.2.3.4.5", ":::", "a::g"):
            self.assertIsNone(address_of(text), text)


class UriTests(SynchronousTestCase):
    """``as_uri``."""

    def test_hosts(self) -> None:
        """Names become ASCII; addresses of both kinds stay what they are."""
        for text, uri in (
            ("http://b\u00fccher.example/\u00e4", "http://xn--bcher-kva.example/%C3%A4"),
            ("http://[2606:4700::1111]:8080/a", "http://[2606:4700::1111]:8080/a"),
            ("https://10.0.0.1/", "https://10.0.0.1/"),
        ):
            self.assertEqual(as_uri(URL.from_text(text)).to_text(), uri)
        self.assertRaises(ValueError, as_uri, URL.from_text("http://a..b/"))
