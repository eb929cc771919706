"""Netplan files as people write them."""

from importlib.util import find_spec
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from common.errors import WrongUsage
from regiond.netplan import read_netplan


@skipUnless(find_spec("yaml"), "PyYAML is not installed")
class NetplanTests(SynchronousTestCase):
    def test_what_stands_there_twice(self) -> None:
        """It is refused with its line: YAML itself would take the last, and say nothing."""
        for text, key, line in (
            ("network:\n  ethernets: {}\nnetwork: {}\n", "network", 3),
            ("network:\n  ethernets:\n    eth0: {}\n    'eth0': {dhcp4: true}\n", "eth0", 4),
            ("a:\n- b: {mtu: 1500, mtu: 9000}\n", "mtu", 2),
            ("1: x\n'1': y\n", "1", 2),
        ):
            error = self.assertRaises(WrongUsage, read_netplan, text.encode())
            self.assertEqual(error.code, "netplan-malformed")
            self.assertIn(f"has {key} twice in one place (line {line})", error.message)

    def test_what_only_looks_like_it(self) -> None:
        """The same key elsewhere, an alias, and what is merged and overridden are all well."""
        text = b"a: &a {dhcp4: true, mtu: 1500}\nb: *a\nc: {<<: *a, mtu: 9000}\nd: [*a, *a]\n"
        found = read_netplan(text)
        assert isinstance(found, dict)
        self.assertEqual(found["c"], {"dhcp4": True, "mtu": 9000})
        self.assertIsNone(read_netplan(b""))
