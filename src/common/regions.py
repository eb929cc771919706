"""Where regions can be reached (pure): what a region tells a rack in its ``Hello``."""

import attrs


@attrs.frozen
class RegionEndpoint:
    """One region, with the ports really bound.

    Attributes:
        region: its name.
        hosts: names and addresses that racks dial; its certificate names all of them.
        rpc_port: where it speaks AMP.
        images_port: where it gives blobs over HTTPS.
    """

    region: str
    hosts: tuple[str, ...]
    rpc_port: int
    images_port: int

    @property
    def rpc_addresses(self) -> list[tuple[str, int]]:
        """Where to connect, best first."""
        return [(host, self.rpc_port) for host in self.hosts]

    def image_bases(self, first_host: str = "") -> list[str]:
        """``https://host:port`` for each host, ``first_host`` before the others."""
        hosts = sorted(self.hosts, key=lambda host: host != first_host)
        return [f"https://{url_host(host)}:{self.images_port}" for host in hosts]


def url_host(host: str) -> str:
    """A host as URLs write it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host
