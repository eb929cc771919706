"""How often strangers may try a secret: to enrol with a token, to log in with a link (pure).

An address that failed five times may try once a minute; all together may try 20 times a
second.
"""

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network

import attrs

from common.errors import Busy

FAILURES_AT_ONCE = 5
FAILURE_INTERVAL_S = 60.0
ATTEMPTS_PER_S = 20.0
MAX_ADDRESSES = 10_000


@attrs.define
class Bucket:
    """Permission that runs out and comes back: ``capacity`` at once, then one each interval."""

    capacity: float
    interval_s: float
    level: float
    at_s: float

    def refill(self, now_s: float) -> None:
        """Give back what the passed time gives back."""
        earned = (now_s - self.at_s) / self.interval_s
        self.level = min(self.capacity, self.level + earned)
        self.at_s = now_s


class AttemptRate:
    """Who may try now. Times are seconds of any clock that only goes forward.

    Args:
        refusal: what an address is told that tries too often.
    """

    def __init__(self, refusal: Callable[[str], Busy]) -> None:
        self._refusal = refusal
        self._all = Bucket(ATTEMPTS_PER_S, 1 / ATTEMPTS_PER_S, ATTEMPTS_PER_S, 0.0)
        self._failures: OrderedDict[str, Bucket] = OrderedDict()

    def admit(self, address: str, now_s: float) -> None:
        """Count an attempt.

        Raises:
            Busy: too many in all, or too many failures from there.
        """
        self._all.refill(now_s)
        bucket = self._failures.get(neighbourhood(address))
        if bucket is not None:
            bucket.refill(now_s)
        if self._all.level < 1 or (bucket is not None and bucket.level < 1):
            raise self._refusal(address)
        self._all.level -= 1

    def failed(self, address: str, now_s: float) -> None:
        """Count a failure of that address."""
        place = neighbourhood(address)
        fresh = Bucket(FAILURES_AT_ONCE, FAILURE_INTERVAL_S, FAILURES_AT_ONCE, now_s)
        bucket = self._failures.setdefault(place, fresh)
        bucket.refill(now_s)
        bucket.level -= 1
        self._failures.move_to_end(place)
        while len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)


def neighbourhood(address: str) -> str:
    """Whom to count together: an IPv4 address; of IPv6 the /64, which one host owns whole."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, 64), strict=False))
