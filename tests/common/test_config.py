"""The configuration files of both daemons."""

import re
import tempfile
import tomllib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.addresses import unix_path
from common.config import (
    Bandwidth,
    Hooks,
    RackdConfig,
    RackListen,
    RegiondConfig,
    RegionListen,
    default_path,
    load,
    parse,
    toml_keys,
)
from common.errors import ConfigError

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"


class ParseTests(SynchronousTestCase):
    """From TOML to values."""

    def _line(self, kind: type, text: str) -> str:
        error = self.assertRaises(ConfigError, parse, kind, text, "/etc/x.toml")
        line = error.line()
        self.assertTrue(line.startswith("/etc/x.toml: "), line)
        self.assertNotIn("\n", line)
        return line

    def test_empty_file_is_all_defaults(self) -> None:
        """Every key has a default."""
        self.assertEqual(parse(RegiondConfig, "", "x"), RegiondConfig())
        self.assertEqual(parse(RackdConfig, "", "x"), RackdConfig())

    def test_defaults_of_the_region(self) -> None:
        """The region's defaults are those of the design."""
        config = RegiondConfig()
        self.assertEqual(config.database, "sqlite:////var/lib/regiond/regiond.db")
        self.assertEqual(config.state_dir, Path("/var/lib/regiond"))
        self.assertIs(config.default_boot_source, True)
        self.assertEqual(
            config.listen,
            RegionListen(
                web="tcp:5240",
                rpc="tcp:5250",
                enrol="tcp:5251",
                images="tcp:5252",
                admin="unix:/run/regiond/admin.sock:mode=660",
            ),
        )

    def test_defaults_of_the_rack(self) -> None:
        """The rack's defaults are those of the design."""
        config = RackdConfig()
        self.assertEqual(config.images_dir, Path("/var/lib/rackd/boot-resources"))
        self.assertEqual(config.token_file, Path("/etc/rackferry/token"))
        self.assertEqual(config.image_transport, "https")
        self.assertEqual(
            config.listen,
            RackListen(images="tcp:5248", admin="unix:/run/rackd/admin.sock:mode=660"),
        )

    def test_bandwidth_rules(self) -> None:
        """Rules keep their order; rates become bytes and times become minutes."""
        text = """
            [[bandwidth]]
            limit = "200 Mbit/s"
            from = "08:00"
            to = "18:30"
            [[bandwidth]]
            limit = "1.5 MiB/s"
        """
        self.assertEqual(
            parse(RackdConfig, text, "x").bandwidth,
            (Bandwidth(25_000_000, 480, 1110), Bandwidth(1_572_864, 0, 1440)),
        )

    def test_unknown_key_gets_the_nearest_right_one(self) -> None:
        """A misspelt key is named together with the key that was meant."""
        self.assertEqual(
            self._line(RegiondConfig, 'nme = "x"'),
            '/etc/x.toml: unknown key "nme" (nearest: name)',
        )
        self.assertEqual(
            self._line(RegiondConfig, '[listen]\nwebb = "tcp:1"'),
            '/etc/x.toml: listen: unknown key "webb" (nearest: web)',
        )

    def test_wrong_values_are_one_line_each(self) -> None:
        """A wrong type or impossible value names its key and the reason."""
        cases = (
            (RegiondConfig, "name = 3", "name: expected a string, not 3"),
            (RegiondConfig, 'name = "a/b"', "name: "),
            (RegiondConfig, 'default_boot_source = "no"', "default_boot_source: expected true or"),
            (RegiondConfig, "default_boot_source = 0", "default_boot_source: expected true or"),
            (RegiondConfig, 'state_dir = "here"', "state_dir: "),
            (RegiondConfig, 'database = "mysql://x"', "database: expected sqlite:"),
            (RegiondConfig, 'database = "sqlite:///relative.db"', "database: expected sqlite:"),
            (RegiondConfig, 'advertise = "region"', "advertise: expected a list"),
            (RegiondConfig, 'advertise = ["a b"]', "advertise: "),
            (RegiondConfig, "listen = 5", "listen: "),
            (RegiondConfig, '[listen]\nweb = "5240"', "listen.web: "),
            (RegiondConfig, '[listen]\nweb = "tcp:http-port"', "listen.web: "),
            (RegiondConfig, '[listen]\nweb = "tcp:65536"', "listen.web: "),
            (RegiondConfig, "[listen]\nweb = 5240", "listen.web: expected a string"),
            (RackdConfig, 'image_transport = "ftp"', 'image_transport: expected "https" or'),
            (RackdConfig, 'boot_url = "10.0.0.5"', "boot_url: expected "),
            (RackdConfig, 'boot_url = "http://rack/images"', "boot_url: expected "),
            (RackdConfig, 'kernel_parameters = "a=$b"', "kernel_parameters: 'a=$b' cannot stand"),
            (RackdConfig, "kernel_parameters = \"quiet a='b'\"", "kernel_parameters: "),
            (RackdConfig, 'kernel_parameters = "quiet || shell"', "kernel_parameters: '||'"),
            (RackdConfig, 'regions = ["a:b"]', "regions: "),
            (RackdConfig, "regions = [1]", "regions: expected a string"),
            (RackdConfig, 'enrol = "a:0"', "enrol: "),
            (RackdConfig, '[[bandwidth]]\nlimit = "fast"', "bandwidth[0].limit: "),
            (
                RackdConfig,
                '[[bandwidth]]\nfrom = "08:00"',
                "bandwidth[0].limit: 'limit' is missing",
            ),
            (
                RackdConfig,
                '[[bandwidth]]\nlimit = "1 MiB/s"\nto = "24:01"',
                "bandwidth[0].to: ",
            ),
            (RackdConfig, "bandwidth = 3", "bandwidth: "),
            (RackdConfig, 'bandwidth = ["x"]', "bandwidth[0]: "),
            (RackdConfig, "name = ", "not TOML: "),
        )
        for kind, text, reason in cases:
            line = self._line(kind, text)
            self.assertTrue(line.startswith(f"/etc/x.toml: {reason}"), line)

    def test_a_rack_key_is_unknown_to_a_region(self) -> None:
        """The files of the two daemons are not mixed up."""
        self.assertIn("token_file", self._line(RegiondConfig, 'token_file = "/x"'))

    @settings(max_examples=50)
    @given(
        st.dictionaries(
            st.sampled_from(["name", "database", "listen", "bandwidth", "regions", "x"]),
            st.one_of(st.integers(), st.booleans(), st.text(max_size=5), st.just([])),
            max_size=3,
        )
    )
    def test_any_file_is_values_or_one_line(self, values: dict[str, object]) -> None:
        """Whatever a file holds, it is read or refused in one line."""
        text = "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())
        for kind in (RegiondConfig, RackdConfig):
            try:
                self.assertIsInstance(parse(kind, text, "f"), kind)
            except ConfigError as error:
                self.assertNotIn("\n", error.line())


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(char):08x}" for char in value) + '"'
    return str(value)


class LoadTests(SynchronousTestCase):
    """From a file."""

    def setUp(self) -> None:
        """A directory of our own."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name).resolve()

    def test_missing_file_that_was_named(self) -> None:
        """A file given with --config must exist."""
        path = self.directory / "missing.toml"
        error = self.assertRaises(ConfigError, load, RegiondConfig, path)
        self.assertEqual(error.object, str(path))
        self.assertTrue(error.remedy)

    def test_missing_default_file(self) -> None:
        """Without any file a daemon runs on its defaults, named or not."""
        self.patch(Path, "read_text", lambda *_: (_ for _ in ()).throw(FileNotFoundError(2, "")))
        self.assertEqual(load(RegiondConfig, None), RegiondConfig())
        self.assertEqual(load(RackdConfig, default_path(RackdConfig)), RackdConfig())

    def test_unreadable_file(self) -> None:
        """A directory, or bytes that are no text, are one line."""
        latin = self.directory / "latin.toml"
        latin.write_bytes(b'name = "\xff"')
        for path in (self.directory, latin):
            error = self.assertRaises(ConfigError, load, RackdConfig, path)
            self.assertIn("cannot be read", error.line())

    def test_everything_in_one_directory(self) -> None:
        """Every path can be moved, so that a daemon runs without root."""
        root = self.directory
        file = root / "regiond.toml"
        file.write_text(
            f'state_dir = "{root}/state"\ndatabase = "sqlite:///{root}/r.db"\n'
            f'[listen]\nadmin = "unix:{root}/admin.sock"\nweb = "tcp:0:interface=127.0.0.1"\n'
        )
        config = load(RegiondConfig, file)
        self.assertEqual(config.state_dir, root / "state")
        self.assertEqual(unix_path(config.listen.admin), root / "admin.sock")


class HooksTests(SynchronousTestCase):
    """``[hooks]``"""

    def test_values(self) -> None:
        """A program, an address and a token, as they are typed."""
        text = """
        [hooks]
        level = "info"
        exec = ["/bin/page", "--now"]
        webhook = "https://u:p@alerts.example/x"
        webhook_token_file = "/etc/token"
        """
        hooks = parse(RegiondConfig, text, "x").hooks
        self.assertEqual((hooks.level, hooks.program), ("info", ("/bin/page", "--now")))
        self.assertEqual(hooks.webhook, "https://u:p@alerts.example/x")
        self.assertEqual(hooks.webhook_token_file, Path("/etc/token"))
        near = parse(RegiondConfig, '[hooks]\nwebhook = "http://[::1]:8/"', "x").hooks
        self.assertEqual(near.webhook, "http://[::1]:8/")

    def test_impossible_values(self) -> None:
        """What cannot work is refused at the start, without a password that is in it."""
        for line in (
            'level = "fatal"',
            'exec = "page"',
            'exec = ["page"]',
            'webhook = "http://u:secret@alerts.example/"',
            'webhook = "secret"',
            'webhook_token_file = "token"',
        ):
            error = self.assertRaises(ConfigError, parse, RegiondConfig, f"[hooks]\n{line}", "file")
            self.assertIn(f"hooks.{line.split()[0]}", error.line())
            self.assertNotIn("secret", error.line())


class DocumentTests(SynchronousTestCase):
    """docs/configuration.md."""

    def _keys(self, kind: type, prefix: str = "") -> set[str]:
        nested = {"listen": {RegiondConfig: RegionListen, RackdConfig: RackListen}.get(kind)}
        keys = set()
        for name in toml_keys(kind):
            if nested.get(name):
                keys |= self._keys(nested[name], "listen.")
            elif name == "hooks":
                keys |= self._keys(Hooks, "hooks.")
            elif name == "bandwidth":
                keys |= self._keys(Bandwidth, "bandwidth.")
            else:
                keys.add(prefix + name)
        return keys

    def test_every_key_has_its_entry(self) -> None:
        """The document has a heading for each key of each daemon, and no other."""
        sections = re.split(r"(?m)^## (\w+)\.toml$", DOCUMENT.read_text())[1:]
        documented = {
            daemon: set(re.findall(r"(?m)^### `([\w.]+)`$", body))
            for daemon, body in zip(sections[::2], sections[1::2], strict=True)
        }
        self.assertEqual(
            documented,
            {"regiond": self._keys(RegiondConfig), "rackd": self._keys(RackdConfig)},
        )

    def test_every_entry_is_complete(self) -> None:
        """Each entry tells the default and the effect, and its example works."""
        sections = re.split(r"(?m)^## (\w+)\.toml$", DOCUMENT.read_text())[1:]
        for daemon, body in zip(sections[::2], sections[1::2], strict=True):
            kind = {"regiond": RegiondConfig, "rackd": RackdConfig}[daemon]
            for entry in re.split(r"(?m)^### ", body)[1:]:
                self.assertIn("Default: ", entry)
                example = re.findall(r"```toml\n(.*?)```", entry, re.DOTALL)
                self.assertEqual(len(example), 1, entry)
                self.assertNotEqual(parse(kind, example[0], "example"), kind(), entry)
                self.assertTrue(tomllib.loads(example[0]))
