"""Hosts as they are written: their ASCII form, which are addresses, and which of these are public."""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from hyperlink import URL

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All that is given out (RFC 4291); whatever is outside is nobody's, or local."""

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_DOCUMENTATION = IPv6Network("3fff::/20")  # RFC 9637, which the standard library does not know


def as_uri(url: URL) -> URL:
    """A URL in ASCII. IPv6 addresses are left out of that: IDNA does not know them.

    Raises:
        ValueError: no host can be called that.
    """
    if ":" in url.host:
        return url.replace(host="ipv6").to_uri().replace(host=url.host)
    return url.to_uri()


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is, however it is written; None if it is a name."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        pass
    try:  # 127.1, 0x7f000001 and 2130706433, as C libraries read them
        return IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is the same host for everybody, and not one that only we can reach.

    An IPv6 address that stands for an IPv4 address is judged by that one; one with a zone
    is of a link of ours.
    """
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    if address.scope_id is not None:
        return False
    inner = address.ipv4_mapped or address.sixtofour
    if address in _NAT64:
        inner = IPv4Address(address.packed[-4:])
    if inner is not None:
        return is_public(inner)
    return address in _GLOBAL_UNICAST and address.is_global and address not in _DOCUMENTATION
