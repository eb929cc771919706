"""What a deployment of ESXi does with a network configuration, or why it cannot (pure).

As MAAS documents it: DHCP, static and automatic addresses, aliases, VLANs and bonds, and
nothing else. A bond becomes NIC teaming, by its mode; its LACP rate and transmit hash policy
mean nothing there, nor how links are watched, which ESXi does by itself.
"""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from common.errors import WrongUsage

TEAMING = {"balance-rr": "portid", "active-backup": "explicit", "802.3ad": "iphash"}

_IGNORED = {
    "lacp-rate": "LACP rate",
    "transmit-hash-policy": "transmit hash policy",
    "mii-monitor-interval": "link monitoring interval",
    "up-delay": "up delay",
    "down-delay": "down delay",
    "gratuitous-arp": "gratuitous ARP",
}
_SECTIONS = ("ethernets", "bonds", "vlans")
_ADDRESSING = frozenset(
    {"addresses", "dhcp4", "dhcp6", "gateway4", "gateway6", "nameservers", "routes", "mtu"}
)
_KEYS = {
    "ethernets": _ADDRESSING | {"match", "set-name", "macaddress"},
    "bonds": _ADDRESSING | {"interfaces", "parameters", "macaddress"},
    "vlans": _ADDRESSING | {"id", "link"},
}
_VLANS = range(1, 4095)
_MTUS = range(68, 9001)
_DHCP = "dhcp"
# The versions of IP that a gateway may be of.
_GATEWAYS = {"gateway4": "4", "gateway6": "6"}
_DEFAULT_ROUTES = {"default": "46", "0.0.0.0/0": "4", "::/0": "6"}
_MOST_SAID = 8
_LONGEST = 60

Config = Mapping[str, Any]


@attrs.frozen
class Step:
    """What is done with one interface.

    Attributes:
        interface: its name in the configuration.
        kind: nic, bond or vlan.
        teaming: of a bond: portid, explicit or iphash; else "".
        vlan: its number; None if it is none.
        links: the members of a bond, or what a VLAN is on.
        addresses: dhcp, or addresses with the length of their prefix; the first one, and its
            aliases.
        ignored: what stands there and means nothing.
    """

    interface: str
    kind: str
    teaming: str = ""
    vlan: int | None = None
    links: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """All of it, in a sentence."""
        if self.kind == "bond":
            order = " in this order" if self.teaming == "explicit" else ""
            what = f"NIC teaming ({self.teaming}) of {', '.join(self.links)}{order}"
        elif self.kind == "vlan":
            what = f"VLAN {self.vlan} on {self.links[0]}"
        else:
            what = "a NIC"
        first, *aliases = self.addresses or ("no address",)
        how = f"{first}, aliases {', '.join(aliases)}" if aliases else first
        ignored = f"; ignored: {', '.join(self.ignored)}" if self.ignored else ""
        return f"{what}, {how}{ignored}"


def plan_network(config: object) -> tuple[Step, ...]:
    """What a deployment does with a netplan configuration, as values.

    Raises:
        WrongUsage: code ``esxi-network``; all that ESXi deployments do not do, by name.
    """
    top = config.get("network", config) if isinstance(config, Mapping) else None
    if not isinstance(top, Mapping) or not any(each in top for each in _SECTIONS):
        raise _refused(["it is no netplan configuration: there is no network: with ethernets:"])
    reading = _Reading(top)
    steps = tuple(reading.steps())
    if reading.problems:
        raise _refused(reading.problems)
    return steps


def _refused(problems: Sequence[str]) -> WrongUsage:
    shown = list(problems[:_MOST_SAID])
    if len(problems) > _MOST_SAID:
        shown.append(f"and {len(problems) - _MOST_SAID} more")
    return WrongUsage(
        "; ".join(shown),
        object="network",
        code="esxi-network",
        remedy="ESXi takes DHCP, static and automatic addresses, aliases, VLANs and bonds only",
    )


class _Reading:
    """One configuration, and what is wrong with it."""

    def __init__(self, top: Config) -> None:
        self.problems: list[str] = []
        self._sections: dict[str, dict[str, Config]] = {
            name: dict(self._interfaces(name, top.get(name))) for name in _SECTIONS
        }
        self._kinds = {name: section for section, found in self._sections.items() for name in found}
        self._members: dict[str, str] = {}
        for key, value in top.items():
            if key == "version" and value == 2:
                continue
            if key not in {*_SECTIONS, "renderer"}:
                names = f" ({', '.join(map(_word, value))})" if isinstance(value, Mapping) else ""
                self.problems.append(f"{_word(key)}{names}: not on ESXi")

    def steps(self) -> Iterator[Step]:
        for name, given in self._sections["bonds"].items():
            yield self._bond(name, given)
        for name, given in self._sections["vlans"].items():
            yield self._vlan(name, given)
        for name, given in self._sections["ethernets"].items():
            yield self._nic(name, given)

    def _interfaces(self, section: str, found: object) -> Iterator[tuple[str, Config]]:
        if found is None:
            return
        if not isinstance(found, Mapping):
            self.problems.append(f"{section}: names of interfaces are to stand there")
            return
        for name, given in found.items():
            if not isinstance(given, Mapping | None):
                self.problems.append(f"{section} {_word(name)}: keys are to stand there")
                continue
            yield _word(name), given or {}
            for key in given or {}:
                if key not in _KEYS[section]:
                    self.problems.append(f"{_word(name)}: {_word(key)}: not on ESXi")

    def _nic(self, name: str, given: Config) -> Step:
        addresses = self._addresses(name, given)
        if name in self._members and addresses:
            self.problems.append(f"{name}: a member of {self._members[name]} has no addresses")
        return Step(name, "nic", addresses=addresses)

    def _bond(self, name: str, given: Config) -> Step:
        members = tuple(map(_word, _sequence(given.get("interfaces"))))
        if not members:
            self.problems.append(f"{name}: a bond needs interfaces")
        for member in members:
            if self._kinds.get(member) != "ethernets":
                self.problems.append(f"{name}: {member}: a bond is of ethernets that stand there")
            if self._members.setdefault(member, name) != name:
                self.problems.append(f"{member}: is of {self._members[member]} already")
        parameters = given.get("parameters") or {}
        if not isinstance(parameters, Mapping):
            self.problems.append(f"{name}: parameters: keys are to stand there")
            parameters = {}
        mode = _word(parameters.get("mode", "balance-rr"))
        if mode not in TEAMING:
            known = ", ".join(TEAMING)
            self.problems.append(f"{name}: bond mode {mode}: not on ESXi, which has {known}")
        for key in parameters:
            if key != "mode" and key not in _IGNORED:
                self.problems.append(f"{name}: {_word(key)}: not on ESXi")
        return Step(
            name,
            "bond",
            teaming=TEAMING.get(mode, ""),
            links=members,
            addresses=self._addresses(name, given),
            ignored=tuple(
                f"{_IGNORED[key]} ({_word(value)})"
                for key, value in parameters.items()
                if key in _IGNORED
            ),
        )

    def _vlan(self, name: str, given: Config) -> Step:
        number, link = given.get("id"), _word(given.get("link", ""))
        if type(number) is not int or number not in _VLANS:
            self.problems.append(f"{name}: a VLAN's id is from 1 to 4094")
            number = None
        if self._kinds.get(link) not in {"ethernets", "bonds"}:
            self.problems.append(f"{name}: a VLAN's link is one of the ethernets or bonds")
        elif link in self._members:
            self.problems.append(f"{name}: {link} is a member of {self._members[link]}")
        return Step(
            name, "vlan", vlan=number, links=(link,), addresses=self._addresses(name, given)
        )

    def _addresses(self, name: str, given: Config) -> tuple[str, ...]:
        if "mtu" in given and (type(given["mtu"]) is not int or given["mtu"] not in _MTUS):
            self.problems.append(
                f"{name}: mtu {_word(given['mtu'])}: is a number from {_MTUS[0]} to {_MTUS[-1]}"
            )
        for key in ("dhcp4", "dhcp6"):
            if type(given.get(key, False)) is not bool:
                self.problems.append(f"{name}: {key}: is true or false, without quotes")
        found = [_DHCP] if given.get("dhcp4") or given.get("dhcp6") else []
        for each in _sequence(given.get("addresses")):
            options = next(iter(each.values()), None) if isinstance(each, Mapping) else {}
            text = _word(next(iter(each), "") if isinstance(each, Mapping) else each)
            if not isinstance(options, Mapping) or set(options) - {"label"}:
                self.problems.append(f"{name}: {text}: options of an address: not on ESXi")
            address = _address(text)
            if address:
                found.append(address)
            else:
                self.problems.append(f"{name}: {text}: no address with the length of its prefix")
        for key, versions in _GATEWAYS.items():
            if key in given:
                self._check_gateway(name, key, given[key], versions, found)
        self._check_routes(name, given, found)
        return tuple(found)

    def _check_routes(self, name: str, given: Config, addresses: Sequence[str]) -> None:
        """A default route is a gateway; there are no others."""
        for each in _sequence(given.get("routes")):
            route = each if isinstance(each, Mapping) else {}
            versions = _DEFAULT_ROUTES.get(_word(route.get("to", "")))
            if versions is None or set(route) - {"to", "via"}:
                self.problems.append(
                    f"{name}: a route to {_word(route.get('to', each))}: not on ESXi, but a gateway"
                )
            else:
                self._check_gateway(name, "via", route.get("via"), versions, addresses)

    def _check_gateway(
        self, name: str, key: str, value: object, versions: str, addresses: Sequence[str]
    ) -> None:
        """A gateway is reached without one: it is in the subnet of one of the addresses."""
        text = _word(value)
        try:
            gateway = ipaddress.ip_address(text)
        except ValueError:
            gateway = None
        if gateway is None or str(gateway.version) not in versions:
            self.problems.append(f"{name}: {key} {text}: no address of a gateway")
        elif not (
            _DHCP in addresses
            or (gateway.version == 6 and gateway.is_link_local)
            or any(gateway in ipaddress.ip_interface(each).network for each in addresses)
        ):
            self.problems.append(f"{name}: {key} {text}: not in the subnet of one of its addresses")


def _address(text: str) -> str:
    """An address with the length of its prefix, as it is usually written; "" if it is none."""
    try:
        return str(ipaddress.ip_interface(text)) if "/" in text else ""
    except ValueError:
        return ""


def _sequence(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _word(value: object) -> str:
    """A scalar as people wrote it; anything else by its kind, however large it is."""
    if isinstance(value, str | int | float):
        return str(value)[:_LONGEST]
    return "something else" if value is not None else "nothing"
