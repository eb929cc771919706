"""Where regions can be reached."""

from twisted.trial.unittest import SynchronousTestCase

from common.canonical import canonical_json, parse
from common.regions import RegionEndpoint

_REGION = RegionEndpoint("r", ("region.example", "2001:db8::1"), 5250, 5252)


class RegionEndpointTests(SynchronousTestCase):
    """What a hello says."""

    def test_wire(self) -> None:
        """A list of regions survives the wire."""
        crossed = parse(tuple[RegionEndpoint, ...], canonical_json([_REGION]), "list")
        self.assertEqual(crossed, (_REGION,))

    def test_addresses(self) -> None:
        """Each host is dialled at the RPC port."""
        self.assertEqual(_REGION.rpc_addresses, [("region.example", 5250), ("2001:db8::1", 5250)])

    def test_bases(self) -> None:
        """Images come from each host, the one that is known to work first, as URLs write it."""
        name, address = "https://region.example:5252", "https://[2001:db8::1]:5252"
        self.assertEqual(_REGION.image_bases(), [name, address])
        self.assertEqual(_REGION.image_bases("2001:db8::1"), [address, name])
