"""Where a region can be reached, with the ports that are really bound."""

from typing import Any

from common.config import RegiondConfig
from common.listening import Ports
from common.regions import RegionEndpoint, url_host
from common.release import release

_TOLD = ("rpc", "enrol", "images", "web")


class Whereabouts:
    """What a region says about how to reach it; known when its ports are open.

    Args:
        config: the names that it goes by.
        ports: its open ports.
    """

    def __init__(self, config: RegiondConfig, ports: Ports) -> None:
        self._config = config
        self._ports = ports

    def endpoint(self) -> RegionEndpoint:
        """For racks."""
        return RegionEndpoint(
            self._config.name,
            tuple(self._config.advertise),
            self._ports.number("rpc"),
            self._ports.number("images"),
        )

    def web_address(self) -> str:
        """The URL of the page, for people."""
        host = self._config.advertise[0] if self._config.advertise else self._config.name
        return self._config.web_url or f"http://{url_host(host)}:{self._ports.number('web')}"

    def row(self) -> dict[str, Any]:
        """Its name and release, and every port of its, as ``status`` says them."""
        named = {"name": self._config.name, "release": release()}
        ports = {f"{name}_port": self._ports.number(name) for name in _TOLD}
        return {**named, "hosts": list(self._config.advertise), **ports}
