"""docs/operations.md is true: each configuration in it is run by its own program."""

import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from common.config import RackdConfig, load
from common.shell import grammar
from tests.doubles.stream_documents import INDEX_PATH
from tests.integration.boot_stream import DIRECTORY, Loader, write_boot_stream
from tests.integration.lan import RACK, Lan, NoLan
from tests.integration.processes import ROOT, ProcessFailed
from tests.integration.site import Site
from tests.integration.sources import nginx_path, random_file

BLOCKS = re.findall(
    r"^```(\S+)\n(.*?)^```$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE | re.DOTALL
)
IMAGES_DIR = "/var/lib/rackd/boot-resources"
KERNEL = f"{DIRECTORY}/boot-kernel"
MENU = "pxelinux.cfg/default"
MACHINES = {  # RFC 4578's number, whether it is iPXE -> what it has to boot
    (0, False): "pxelinux.0",
    (7, False): "bootx64.efi",
    (9, False): "bootx64.efi",
    (11, False): "bootaa64.efi",
    (0, True): f"http://{RACK}:5248/images/boot.ipxe",
    (7, True): f"http://{RACK}:5248/images/boot.ipxe",
}
NGINX = """\
daemon off; pid {directory}/nginx.pid; error_log stderr;
events {{}}
http {{
  access_log off; client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  include {block};
}}
"""


def blocks(language: str) -> list[str]:
    """The document's blocks in that language."""
    return [text for word, text in BLOCKS if word == language]


def program(name: str) -> str:
    """Where a server is, also where it hides from users who are not root.

    Raises:
        SkipTest: it is not installed.
    """
    found = nginx_path() if name == "nginx" else shutil.which(name, path="/usr/sbin:/usr/bin")
    if found is None:
        raise SkipTest(f"{name} is not installed: its configuration was not tried")
    return found


class DocumentTests(SynchronousTestCase):
    """What can be checked without running a server."""

    def test_every_block_is_tried(self) -> None:
        """There is no block in a language that no test here knows."""
        tried = {"dnsmasq", "tftpd-hpa", "tftpd-map", "nginx", "toml", "sh"}
        self.assertEqual({word for word, _ in BLOCKS}, tried)

    def test_rackd_toml(self) -> None:
        """A rack would take every rackd.toml."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "rackd.toml"
            for text in blocks("toml"):
                path.write_text(text)
                self.assertNotEqual(load(RackdConfig, path), RackdConfig())

    def test_commands(self) -> None:
        """The shell understands every ``rackferry`` line."""
        lines = [line for text in blocks("sh") for line in text.splitlines()]
        commands = [line for line in lines if line.startswith("rackferry ")]
        self.assertTrue(commands)
        for line in commands:
            words = shlex.split(line, comments=True)[1:]
            self.assertIsNotNone(grammar.parse(words, lambda _: b"").verb, line)


@pytest.mark.slow
@pytest.mark.timeout(300)
class ServerTests(SynchronousTestCase):
    """Boot servers as configured there, beside a real rack, on the ports that they name."""

    directory: ClassVar[Path]
    site: ClassVar[Site]
    lan: ClassVar[Lan]
    flips: ClassVar[int] = 0

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        try:
            cls.lan = Lan()
        except NoLan as error:
            raise SkipTest(f"no boot server was tried: {error}") from error
        cls.addClassCleanup(cls.lan.close)
        cls.directory = Path(tempfile.mkdtemp(prefix="rackferry-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.directory.chmod(0o755)  # servers are users of their own
        cls.site = Site(cls.directory / "site")
        cls.addClassCleanup(cls.site.close)
        cls.site.directory.chmod(0o755)
        made = {
            name: random_file(cls.directory / "made" / name, 100_000)
            for name in ("boot-kernel", "boot-initrd", "pxelinux.0", "bootx64.efi")
        }
        images = {name: path for name, path in made.items() if name.startswith("boot-")}
        loaders = (
            Loader("pxe", "pxelinux", "i386", {"pxelinux.0": made["pxelinux.0"]}),
            Loader("uefi", "grub-efi-signed", "amd64", {"bootx64.efi": made["bootx64.efi"]}),
        )
        write_boot_stream(cls.site.tree, cls.site.key, images, loaders)
        cls.site.region.start()
        source = cls.site.create_source()
        cls.site.shell("boot-source-selections", "create", str(source), "os=debian", "release=*")
        cls.site.shell("boot-resources", "import", "wait")
        cls.site.enrol()
        cls.site.rack.start()
        cls.site.shell("boot-resources", "import", "wait", rack=True)

    def setUp(self) -> None:
        self.addCleanup(self.lan.end_servers)

    def written(self, name: str, text: str) -> Path:
        """A block as a file, with this site's directory for the usual one."""
        path = self.directory / name
        path.write_text(text.replace(IMAGES_DIR, str(self.site.images_dir)))
        return path

    def flip(self) -> None:
        """Let the rack make another snapshot, with other menus, and change to it."""
        before = self.site.current
        type(self).flips += 1
        self.site.write_rack_config(f'kernel_parameters = "flip={self.flips}"')
        self.site.rack.restart()
        self.site.shell("boot-resources", "import", "wait", rack=True)
        self.assertNotEqual(self.site.current, before)

    def check_tftp(self) -> None:
        """Files come over TFTP as they are in ``current``, at this moment."""
        held = self.site.held_files()
        for name in ("pxelinux.0", "bootx64.efi", KERNEL, MENU, "/grub/grub.cfg"):
            fetched = self.lan.fetch(f"tftp://{RACK}/{name}", "--tftp-blksize", "1024")
            self.assertEqual(fetched, held[name.lstrip("/")].read_bytes(), name)

    def serve_dnsmasq(self, text: str) -> None:
        """Start dnsmasq with a block."""
        words = [program("dnsmasq"), f"--conf-file={self.written('dnsmasq.conf', text)}"]
        subprocess.run([*words, "--test"], check=True, capture_output=True)
        leases = f"--dhcp-leasefile={self.directory / 'leases'}"
        self.lan.serve([*words, "--keep-in-foreground", "--pid-file=", leases], 69, "udp")

    def test_dnsmasq(self) -> None:
        """Each dnsmasq serves ``current`` over TFTP, also when that has changed meanwhile."""
        for text in blocks("dnsmasq"):
            self.serve_dnsmasq(text)
            self.check_tftp()
            self.flip()
            self.check_tftp()
            self.lan.end_servers()

    def test_dnsmasq_before_the_first_sync(self) -> None:
        """Dnsmasq starts although there is no ``current``, and serves it once it is there."""
        current = self.site.images_dir / "current"
        target = current.readlink()
        current.unlink()
        try:
            self.serve_dnsmasq(blocks("dnsmasq")[0])
        finally:
            current.symlink_to(target)
        self.check_tftp()

    def test_dhcp(self) -> None:
        """DHCP offers each kind of machine the boot file of the table, from the rack."""
        self.serve_dnsmasq(blocks("dnsmasq")[0])
        for (arch, is_ipxe), file in MACHINES.items():
            self.assertEqual(self.lan.offer(arch, is_ipxe=is_ipxe), (file, RACK))

    def serve_tftpd(self, options: Sequence[str], directory: Path, user: str) -> None:
        """Start in.tftpd as its unit does, but in the foreground."""
        words = [program("in.tftpd"), "--foreground", "--user", user, "--address", ":69"]
        self.lan.serve([*words, *options, str(directory)], 69, "udp")

    def test_tftpd_hpa(self) -> None:
        """tftpd-hpa serves ``current``, also when that has changed, and nothing beside it."""
        (defaults,), (rules,) = blocks("tftpd-hpa"), blocks("tftpd-map")
        map_file = self.written("map", rules)
        said = dict(word.split("=", 1) for word in shlex.split(defaults, comments=True))
        self.assertEqual(said["TFTP_ADDRESS"], ":69")
        self.assertEqual(said["TFTP_DIRECTORY"], IMAGES_DIR)
        options = said["TFTP_OPTIONS"].replace("/etc/tftpd-rackferry.map", str(map_file))
        self.assertIn(str(map_file), options)
        self.serve_tftpd(shlex.split(options), self.site.images_dir, said["TFTP_USERNAME"])
        self.check_tftp()
        self.flip()
        self.check_tftp()
        blob = next((self.site.images_dir / "cache").iterdir()).name
        for name in (f"cache/{blob}", f"../cache/{blob}", f"/../cache/{blob}"):
            with self.assertRaises(ProcessFailed):
                self.lan.fetch(f"tftp://{RACK}/{name}", "--path-as-is")

    def test_tftpd_hpa_without_its_map(self) -> None:
        """Given ``current`` itself tftpd-hpa misses the change, which is why it gets a map."""
        self.serve_tftpd(["--secure"], self.site.images_dir / "current", "tftp")
        before = self.lan.fetch(f"tftp://{RACK}/{MENU}")
        self.flip()
        self.assertEqual(self.lan.fetch(f"tftp://{RACK}/{MENU}"), before)
        self.assertNotEqual(self.site.held_files()[MENU].read_bytes(), before)

    def test_nginx(self) -> None:
        """Through nginx come the menu, what it names by generation, and ranges of ``current``."""
        nginx = program("nginx")
        (text,) = blocks("nginx")
        block = self.written("block.conf", text)
        conf = self.directory / "nginx.conf"
        conf.write_text(NGINX.format(directory=self.directory, block=block))
        words = [nginx, "-e", "stderr", "-c", str(conf)]
        subprocess.run([*words, "-t"], check=True, capture_output=True)
        self.move_rack_to_lan()
        self.lan.serve(words, 80, "tcp")
        kernel = self.site.held_files()[KERNEL].read_bytes()
        base = f"http://{RACK}"
        script = self.lan.fetch(f"{base}/images/boot.ipxe").decode()
        (named,) = re.findall(r"^kernel (/generations/\d+/\S+)", script, re.MULTILINE)
        self.assertEqual(self.lan.fetch(f"{base}{named}"), kernel)
        self.assertEqual(self.lan.fetch(f"{base}/images/{KERNEL}", "-r", "10-19"), kernel[10:20])
        self.assertIn(b"boot-kernel", self.lan.fetch(f"{base}/images/{DIRECTORY}/"))
        mirrored = self.lan.fetch(f"{base}/mirror/1/{INDEX_PATH}")
        self.assertEqual(mirrored, (self.site.tree / INDEX_PATH).read_bytes())

    def move_rack_to_lan(self) -> None:
        """Restart the rack where it has port 5248 and no region: it serves what it holds."""
        rack, config = self.site.rack, self.site.rack_config
        argv, before = list(rack.argv), config.read_text()
        rack.stop()
        rack.argv = self.lan.argv(*argv)
        config.write_text(before.replace(f"tcp:{self.site.ports.machines}:", "tcp:5248:"))
        rack.start()

        def move_back() -> None:
            rack.stop()
            rack.argv = argv
            config.write_text(before)
            rack.start()

        self.addCleanup(move_back)
