"""What ESXi deployments do with a network configuration, and what they do not."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.errors import WrongUsage
from regiond.esxi_network import TEAMING, plan_network

ETHERNETS: dict[str, Any] = {"eth0": {}, "eth1": {}}


def network(**sections: Any) -> dict[str, Any]:
    return {"network": {"version": 2, "ethernets": ETHERNETS, **sections}}


def bond(mode: str | None = None, **parameters: Any) -> dict[str, Any]:
    given = {"mode": mode, **parameters} if mode else parameters
    return {"bond0": {"interfaces": ["eth0", "eth1"], "parameters": given}}


class NetworkTests(SynchronousTestCase):
    def messages(self, config: object) -> dict[str, str]:
        return {step.interface: step.message for step in plan_network(config)}

    def refused(self, config: object, *named: str) -> str:
        error = self.assertRaises(WrongUsage, plan_network, config)
        self.assertEqual(error.code, "esxi-network")
        for each in named:
            self.assertIn(each, error.message)
        self.assertLess(len(error.line()), 2000)
        return str(error.message)

    def test_addresses(self) -> None:
        """DHCP, static addresses with a gateway, aliases, none at all."""
        config = network(
            ethernets={
                "eth0": {"match": {"macaddress": "52:54:00:00:00:01"}, "set-name": "eth0",
                         "mtu": 1500, "dhcp4": True},
                "eth1": {"addresses": ["10.0.0.5/24", {"10.0.0.6/24": {"label": "eth1:1"}},
                                       "2001:db8::5/64"],
                         "gateway4": "10.0.0.1",
                         "nameservers": {"addresses": ["10.0.0.2"], "search": ["maas"]}},
                "eth2": {"addresses": ["10.1.0.5/24"],
                         "routes": [{"to": "default", "via": "10.1.0.1"}]},
                "eth3": None,
            }
        )  # fmt: skip
        self.assertEqual(
            self.messages(config),
            {
                "eth0": "a NIC, dhcp",
                "eth1": "a NIC, 10.0.0.5/24, aliases 10.0.0.6/24, 2001:db8::5/64",
                "eth2": "a NIC, 10.1.0.5/24",
                "eth3": "a NIC, no address",
            },
        )

    def test_bonds_become_teaming(self) -> None:
        """By their mode; a bond without one is balance-rr, as netplan says."""
        for mode, teaming in {**TEAMING, None: "portid"}.items():
            first, *_ = plan_network(network(bonds=bond(mode)))
            self.assertEqual((first.kind, first.teaming, first.links),
                             ("bond", teaming, ("eth0", "eth1")))  # fmt: skip
        self.assertEqual(
            set(TEAMING.items()),
            {("balance-rr", "portid"), ("active-backup", "explicit"), ("802.3ad", "iphash")},
        )
        said = self.messages(network(bonds=bond("active-backup")))["bond0"]
        self.assertIn("NIC teaming (explicit) of eth0, eth1 in this order", said)

    def test_what_means_nothing_is_said(self) -> None:
        """LACP rate, transmit hash policy, and how links are watched, as MAAS writes them."""
        parameters = {"lacp-rate": "fast", "transmit-hash-policy": "layer3+4",
                      "mii-monitor-interval": 100, "down-delay": 0, "up-delay": 0}  # fmt: skip
        said = self.messages(network(bonds=bond("802.3ad", **parameters)))["bond0"]
        self.assertEqual(
            said,
            "NIC teaming (iphash) of eth0, eth1, no address; ignored: LACP rate (fast),"
            " transmit hash policy (layer3+4), link monitoring interval (100), down delay (0),"
            " up delay (0)",
        )

    def test_vlans(self) -> None:
        """On a NIC or a bond."""
        vlans = {"v10": {"id": 10, "link": "bond0", "addresses": ["10.0.0.5/24"]}}
        steps = {each.interface: each for each in
                 plan_network(network(bonds=bond("802.3ad"), vlans=vlans))}  # fmt: skip
        self.assertEqual((steps["v10"].vlan, steps["v10"].links), (10, ("bond0",)))
        self.assertEqual(steps["v10"].message, "VLAN 10 on bond0, 10.0.0.5/24")

    def test_without_the_outermost_key(self) -> None:
        """What stands under network: alone is a configuration, too."""
        self.assertEqual(len(plan_network({"ethernets": ETHERNETS})), 2)

    def test_anything_else_is_refused_by_name(self) -> None:
        """Kinds of interfaces, keys, modes, parameters, routes; all of them at once."""
        for kind in ("bridges", "wifis", "tunnels", "vrfs", "modems", "dummy-devices"):
            self.refused(network(**{kind: {"x0": {}}}), kind, "x0")
        for key in ("wakeonlan", "dhcp4-overrides", "link-local", "openvswitch", "optional"):
            self.refused(network(ethernets={"eth0": {key: True}}), "eth0", key)
        for mode in ("balance-xor", "broadcast", "balance-tlb", "balance-alb", "nonsense"):
            self.refused(network(bonds=bond(mode)), "bond0", mode)
        self.refused(network(bonds=bond("802.3ad", primary="eth0")), "bond0", "primary")
        route = {"to": "10.2.0.0/16", "via": "10.0.0.1"}
        self.refused(network(ethernets={"eth0": {"routes": [route]}}), "eth0", "10.2.0.0/16")
        both = self.refused(network(bridges={"br0": {}}, tunnels={"t0": {}}), "br0", "t0")
        self.assertIn(";", both)

    def test_gateways(self) -> None:
        """An address in the subnet of one of its own, or somewhere that only DHCP knows."""
        own = {"addresses": ["10.0.0.5/24", "2001:db8::5/64"]}
        for good in (
            {**own, "gateway4": "10.0.0.1", "gateway6": "2001:db8::1"},
            {**own, "gateway6": "fe80::1"},
            {**own, "routes": [{"to": "::/0", "via": "2001:db8::1"}]},
            {"dhcp4": True, "gateway4": "10.9.0.1"},
        ):
            self.assertIn("a NIC", self.messages(network(ethernets={"eth0": good}))["eth0"])
        for wrong, named in (
            ({**own, "gateway4": "10.1.0.1"}, "eth0: gateway4 10.1.0.1: not in the subnet"),
            ({**own, "gateway4": "10.0.0"}, "eth0: gateway4 10.0.0: no address"),
            ({**own, "gateway4": "2001:db8::1"}, "gateway4 2001:db8::1: no address"),
            ({**own, "gateway4": None}, "gateway4 nothing: no address"),
            ({**own, "gateway6": "10.0.0.1"}, "gateway6 10.0.0.1: no address"),
            ({**own, "gateway6": "2001:db9::1"}, "gateway6 2001:db9::1: not in the subnet"),
            ({"gateway4": "10.0.0.1"}, "gateway4 10.0.0.1: not in the subnet"),
            ({**own, "routes": [{"to": "default", "via": "10.7.0.1"}]}, "via 10.7.0.1: not in"),
            ({**own, "routes": [{"to": "default"}]}, "via nothing: no address"),
            ({**own, "routes": [{"to": "::/0", "via": "10.0.0.1"}]}, "via 10.0.0.1: no address"),
        ):
            self.refused(network(ethernets={"eth0": wrong}), named)

    def test_sizes_of_frames(self) -> None:
        """A number that ESXi can be told, on whatever there is."""
        for good in (68, 1500, 9000):
            self.messages(network(ethernets={"eth0": {"mtu": good}}))
        for wrong in (67, 9001, -1, "1500", "jumbo", True, None, [1500]):
            self.refused(network(ethernets={"eth0": {"mtu": wrong}}), "eth0: mtu", "68 to 9000")
        vlans = {"v5": {"id": 5, "link": "eth0", "mtu": 9001}}
        self.refused(network(vlans=vlans), "v5: mtu 9001")

    def test_what_does_not_fit_together(self) -> None:
        """Members that are missing, shared or addressed; links, ids and addresses that are none."""
        self.refused(network(bonds={"b": {"interfaces": ["eth9"]}}), "eth9")
        self.refused(network(bonds={"b": {}}), "needs interfaces")
        self.refused(network(bonds={"a": {"interfaces": ["eth0"]},
                                    "b": {"interfaces": ["eth0"]}}), "eth0")  # fmt: skip
        addressed = {"eth0": {"dhcp4": True}, "eth1": {}}
        self.refused(network(ethernets=addressed, bonds=bond("802.3ad")), "eth0: a member")
        for vlan in ({"id": 0, "link": "eth0"}, {"id": 4095, "link": "eth0"},
                     {"id": True, "link": "eth0"}, {"id": 5, "link": "eth9"}, {"id": 5}):  # fmt: skip
            self.refused(network(vlans={"v5": vlan}), "v5")
        self.refused(
            network(bonds=bond("802.3ad"), vlans={"v5": {"id": 5, "link": "eth0"}}), "member"
        )
        for truth in ("off", "false", 0, {}):
            self.refused(network(ethernets={"eth0": {"dhcp4": truth}}), "eth0: dhcp4")
        for address in (
            "10.0.0.5",
            "10.0.0.5/33",
            "x/24",
            "dhcp",
            {"10.0.0.5/24": {"lifetime": 0}},
        ):
            self.refused(network(ethernets={"eth0": {"addresses": [address]}}), "eth0")

    def test_no_configurations(self) -> None:
        """Other documents are called that."""
        for config in (None, [], "x", 5, {}, {"network": None}, {"network": {"version": 2}}):
            self.refused(config, "no netplan")
        self.refused({"network": {"version": 3, "ethernets": {}}}, "version")
        self.refused({"network": {"ethernets": ["eth0"]}}, "ethernets")
        self.refused({"network": {"ethernets": {"eth0": ["x"]}}}, "eth0")

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["network", "ethernets", "bonds", "vlans", "parameters", "mode",
                                 "interfaces", "addresses", "routes", "id", "link", "eth0"])
                | st.text() | st.integers(),
                inner,
            ),
            max_leaves=20,
        )
    )  # fmt: skip
    def test_any_values(self, config: object) -> None:
        """Whatever a document holds, it is a plan or refused."""
        try:
            steps = plan_network(config)
        except WrongUsage as error:
            self.assertEqual(error.code, "esxi-network")
        else:
            self.assertTrue(all(step.message for step in steps))
