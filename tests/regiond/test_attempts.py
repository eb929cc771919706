"""How often strangers may try a secret."""

from twisted.trial.unittest import SynchronousTestCase

from common.errors import Busy
from regiond.attempts import AttemptRate, neighbourhood


def too_often(address: str) -> Busy:
    """What the door that is tried says."""
    return Busy("too often", object=address)


class RateTests(SynchronousTestCase):
    """How often one may try."""

    def setUp(self) -> None:
        self.rate = AttemptRate(too_often)

    def fail_once(self, address: str, now_s: float) -> bool:
        try:
            self.rate.admit(address, now_s)
        except Busy:
            return False
        self.rate.failed(address, now_s)
        return True

    def test_failures_of_an_address(self) -> None:
        """Five failures at once, then one a minute; other addresses are not concerned."""
        self.assertEqual(
            [self.fail_once("192.0.2.1", 100.0) for _ in range(7)], [True] * 5 + [False] * 2
        )
        self.assertTrue(self.fail_once("192.0.2.2", 100.0))
        self.assertFalse(self.fail_once("192.0.2.1", 159.0))
        self.assertTrue(self.fail_once("192.0.2.1", 161.0))
        self.assertFalse(self.fail_once("192.0.2.1", 162.0))

    def test_in_all(self) -> None:
        """Twenty a second from everywhere together, successes included."""
        for number in range(20):
            self.rate.admit(f"192.0.2.{number}", 100.0)
        self.assertRaises(Busy, self.rate.admit, "198.51.100.1", 100.0)
        self.rate.admit("198.51.100.1", 100.1)

    def test_bounded(self) -> None:
        """A flood of addresses does not fill the memory."""
        for number in range(10_500):
            self.rate.failed(str(number), 0.0)
        self.assertEqual(len(self.rate._failures), 10_000)

    def test_one_host_has_a_whole_64(self) -> None:
        """Addresses of one /64, and both forms of an IPv4 address, count together."""
        self.assertEqual(neighbourhood("2001:db8::1"), neighbourhood("2001:db8::ffff:2"))
        self.assertNotEqual(neighbourhood("2001:db8::1"), neighbourhood("2001:db8:0:1::1"))
        self.assertEqual(neighbourhood("::ffff:192.0.2.1"), "192.0.2.1")
        self.assertEqual(neighbourhood("fe80::1%eth0"), "fe80::/64")
        self.assertEqual(neighbourhood("/run/socket"), "/run/socket")
