"""A whole site in one directory, as real processes: source, region, rack and shell.

Everything listens on loopback, on ports that were free; nothing needs root; ``close``
leaves no process behind. Tests, ``make demo`` and ``make bench`` use it alike.

To put a fault between rack and region, make the site ``is_proxied``: the region then
listens on another loopback address, and a ``Hop`` on 127.0.0.1 can take its place at the
very same ports, which are all that the region announces.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from tests.integration.closing import Closing
from tests.integration.processes import (
    ROOT,
    Daemon,
    ProcessFailed,
    unit_environment,
)
from tests.integration.shells import parsed, run_shell
from tests.integration.sources import LOOPBACK, FileServer, SigningKey, free_ports

HIDDEN_HOST = "127.0.0.2"
RECORD = ".rackferry-view"
BESIDE = frozenset(
    {RECORD, "boot.ipxe", "bootloader", "grub", "maas.meta", "mirror", "pxelinux.cfg"}
)
"""What stands in a rack's tree beside the operating systems."""

SOCKET_PATH_LIMIT_BYTES = 90  # of the 108 that Linux allows, less the file's own name


@attrs.frozen
class Ports:
    """The ports of one site; free on the hidden address, too."""

    web: int
    rpc: int
    enrol: int
    images: int
    machines: int

    @classmethod
    def free(cls) -> "Ports":
        """Ports that nobody uses now."""
        return cls(*free_ports(5, (LOOPBACK, HIDDEN_HOST)))


class Site(Closing):
    """One region, one rack and one boot source, in one directory.

    Args:
        directory: where everything goes; made if missing, kept by ``close``.
        is_proxied: the rack dials 127.0.0.1, where proxies must stand; the region is elsewhere.
        image_transport: "https" or "amp".
        advertise: the addresses of the region that racks are told; proxies of the test's
            must stand at all but the first if it is not ``is_proxied``.
        source: another site whose tree and key this one uses (a cheap fresh start).

    Attributes:
        region, rack: the two daemons.
        key: the source's signing key.
        tree: the source's directory, served at ``source_url`` once ``serve`` was called.
    """

    def __init__(
        self,
        directory: Path,
        *,
        is_proxied: bool = False,
        image_transport: str = "https",
        advertise: Sequence[str] = (LOOPBACK,),
        source: "Site | None" = None,
    ) -> None:
        self.directory = directory.resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ports = Ports.free()
        self.region_host = HIDDEN_HOST if is_proxied else LOOPBACK
        self._source = source
        self.tree: Path = source.tree if source else self.directory / "source"
        self.images_dir = self.directory / "rack-images"
        self._image_transport = image_transport
        self._advertise = list(advertise)
        self._sockets = self._socket_directory()
        self._key: SigningKey | None = None
        self._server: FileServer | None = None
        self.region_socket = self._sockets / "region.sock"
        self.rack_socket = self._sockets / "rack.sock"
        self.region_config = self.directory / "regiond.toml"
        self.rack_config = self.directory / "rackd.toml"
        self.region = self._daemon("regiond", self.region_config)
        self.rack = self._daemon("rackd", self.rack_config)
        self.write_region_config()

    def _socket_directory(self) -> Path:
        """The site's own directory, or a short one: a Unix socket's path has 108 bytes."""
        if len(os.fsencode(self.directory)) <= SOCKET_PATH_LIMIT_BYTES:
            return self.directory
        return Path(tempfile.mkdtemp(prefix="rackferry-"))

    def _daemon(self, name: str, config: Path) -> Daemon:
        twistd = str(Path(sys.executable).with_name("twistd"))
        argv = [twistd, "-n", "--pidfile=", name, "--config", str(config)]
        settings = unit_environment(ROOT / "systemd" / f"{name}.service")
        return Daemon(name, argv, self.directory, self._sockets, settings)

    # -- configuration ---------------------------------------------------------------

    def write_region_config(self, extra: str = "", *, database: str = "") -> None:
        """Write regiond.toml; ``extra`` goes before the ``[listen]`` table."""
        url = database or f"sqlite:///{self.directory / 'region' / 'regiond.db'}"
        self.region_config.write_text(
            f'name = "region-1"\n'
            f'database = "{url}"\n'
            f'state_dir = "{self.directory / "region"}"\n'
            f"advertise = {json.dumps(self._advertise)}\n"
            f"default_boot_source = false\n"
            f"{extra}\n"
            f"[listen]\n"
            f'web = "{self._tcp(self.ports.web)}"\n'
            f'rpc = "{self._tcp(self.ports.rpc, self.region_host)}"\n'
            f'enrol = "{self._tcp(self.ports.enrol, self.region_host)}"\n'
            f'images = "{self._tcp(self.ports.images, self.region_host)}"\n'
            f'admin = "unix:{self.region_socket}:mode=660"\n'
        )

    def write_rack_config(self, extra: str = "") -> None:
        """Write rackd.toml with this site's ports and directories."""
        self.rack_config.write_text(
            f'name = "rack-1"\n'
            f'regions = ["{LOOPBACK}:{self.ports.rpc}"]\n'
            f'enrol = "{LOOPBACK}:{self.ports.enrol}"\n'
            f'state_dir = "{self.directory / "rack"}"\n'
            f'images_dir = "{self.images_dir}"\n'
            f'image_transport = "{self._image_transport}"\n'
            f"{extra}\n"
            f"[listen]\n"
            f'images = "{self._tcp(self.ports.machines)}"\n'
            f'admin = "unix:{self.rack_socket}:mode=660"\n'
        )

    @staticmethod
    def _tcp(port: int, host: str = LOOPBACK) -> str:
        return f"tcp:{port}:interface={host}"

    # -- the source ------------------------------------------------------------------

    @property
    def key(self) -> SigningKey:
        """The source's signing key, made when first asked for."""
        if self._source is not None:
            return self._source.key
        if self._key is None:
            self._key = SigningKey(self._sockets / "gnupg")
        return self._key

    def publish(self, product: dict[str, str], files: dict[str, Path]) -> Any:
        """``rackferry publish-source``: add one image to the source's tree.

        Args:
            product: os, release, arch, version, and perhaps subarch and label.
            files: by file type: ``{"boot-kernel": path}``.
        """
        return self.local(
            "publish-source",
            str(self.tree),
            f"key={self.key.fingerprint}",
            f"gnupg_home={self.key.home}",
            *(f"{key}={value}" for key, value in product.items()),
            *(f"{ftype}@={path}" for ftype, path in files.items()),
        )

    def serve(self) -> str:
        """Serve the source's tree; its URL."""
        if self._source is not None:
            return self._source.serve()
        if self._server is None:
            self._server = FileServer(self.tree, self.directory / "web")
        return self._server.url

    @property
    def source_software(self) -> str:
        """What serves the source."""
        return self._server.software if self._server else ""

    def create_source(self, url: str = "", keyring: str = "") -> int:
        """Tell the region about a source, this site's own by default; its id."""
        created = self.shell(
            "boot-sources",
            "create",
            f"url={url or self.serve()}",
            f"keyring_filename={keyring or self.key.keyring}",
        )
        return int(created["id"])

    # -- the daemons -----------------------------------------------------------------

    def enrol(self, name: str = "rack-1") -> str:
        """Make a token on the region, run ``rackferry join`` with it; the token."""
        token = str(self.shell("rack-controllers", "create-token", f"name={name}")["token"])
        self.write_rack_config()  # join agrees with a file that is there, and leaves it
        self.local(
            "join",
            LOOPBACK,
            token,
            f"name={name}",
            f"config={self.rack_config}",
            f"enrol_port={self.ports.enrol}",
            f"rpc_port={self.ports.rpc}",
        )
        return token

    def shell(self, *words: str, rack: bool = False, limit_s: float = 300.0) -> Any:
        """Ask a daemon with the real ``rackferry --json``; the answer as values.

        Raises:
            ShellFailed: with the error object.
        """
        path = self.rack_socket if rack else self.region_socket
        return parsed(run_shell(words, socket_path=path, limit_s=limit_s))

    def shell_text(self, *words: str, rack: bool = False) -> str:
        """Ask a daemon; the answer as people see it."""
        path = self.rack_socket if rack else self.region_socket
        return run_shell(words, socket_path=path, as_json=False)

    @staticmethod
    def local(*words: str) -> Any:
        """Run a word of the shell that needs no daemon."""
        return parsed(run_shell(words))

    @property
    def current(self) -> Path | None:
        """The rack's current snapshot, or None before the first of a view."""
        found = (self.images_dir / "current").resolve()
        return None if found.name.endswith("-g0") or not found.is_dir() else found

    def held_files(self) -> dict[str, Path]:
        """Every file of the rack's current snapshot, by its path in the snapshot."""
        if self.current is None:
            return {}
        found = sorted(path for path in self.current.rglob("*") if path.is_file())
        return {str(path.relative_to(self.current)): path for path in found}

    def image_files(self) -> dict[str, Path]:
        """The files of images at their places in MAAS's tree, without what stands beside them."""
        held = self.held_files().items()
        return {name: path for name, path in held if name.partition("/")[0] not in BESIDE}

    # -- the end ---------------------------------------------------------------------

    def close(self) -> None:
        """End every process; the directory stays for whoever wants to look."""
        try:
            for daemon in (self.rack, self.region):
                try:
                    daemon.stop()
                finally:
                    daemon.kill()
        finally:
            if self._server is not None:
                self._server.close()
            if self._key is not None:
                self._key.close()
            if self._sockets != self.directory:
                shutil.rmtree(self._sockets, ignore_errors=True)

    def last_words(self) -> str:
        """What both daemons said last."""
        return "\n".join((self.region.tail(), self.rack.tail()))


@contextmanager
def temporary_site(**options: Any) -> Iterator[Site]:
    """A site in a directory of its own that goes with it."""
    directory = Path(tempfile.mkdtemp(prefix="rackferry-"))
    try:
        with Site(directory, **options) as site:
            yield site
    finally:
        shutil.rmtree(directory, ignore_errors=True)


__all__ = ["Ports", "ProcessFailed", "Site", "temporary_site"]
