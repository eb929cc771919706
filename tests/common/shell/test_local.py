"""The verbs that need no daemon."""

import os
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from common.config import RackdConfig, RegiondConfig, load
from common.errors import ConfigError, Conflict, Refused, WrongUsage
from common.shell import local
from common.shell.grammar import parse


@attrs.frozen
class Enrolled:
    """What joining gives: the name in the certificate."""

    name: str


class LocalCase(SynchronousTestCase):
    """A directory, and a region that lets everybody in."""

    def setUp(self) -> None:
        """Stand in for common.joining: it has tests of its own."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name).resolve()
        self.joined: list[tuple[Any, ...]] = []
        self.refusal: Exception | None = None
        self.patch(local, "join", self._join)

    async def _join(self, reactor: object, *what: Any) -> Enrolled:
        self.joined.append(what)
        if self.refusal:
            raise self.refusal
        what[4].mkdir(exist_ok=True)
        (what[4] / "key.pem").touch(mode=0o600)
        return Enrolled(what[3] or "rack-of-the-token")

    def wait_for(self, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work(None)))

    def answer(self, *words: str) -> dict[str, Any]:
        return local.answer(parse(words, Path.read_bytes), self.wait_for)


class JoinTests(LocalCase):
    """Enrolling this machine."""

    def _join_line(self, *more: str) -> dict[str, Any]:
        return self.answer(
            "join",
            "region.example",
            "rg1.x",
            f"config={self.directory}/etc/rackd.toml",
            f"state_dir={self.directory}/state",
            *more,
        )

    def test_writes_a_file_that_works(self) -> None:
        """A fresh machine gets a certificate and a configuration that rackd can read."""
        answer = self._join_line("name=rack-7", f"images_dir={self.directory}/images")
        self.assertEqual(
            self.joined, [("region.example", 5251, "rg1.x", "rack-7", self.directory / "state")]
        )
        config = load(RackdConfig, self.directory / "etc" / "rackd.toml")
        self.assertEqual(config.name, "rack-7")
        self.assertEqual(config.regions, ("region.example:5250",))
        self.assertEqual(config.enrol, "region.example:5251")
        self.assertEqual(config.images_dir, self.directory / "images")
        self.assertEqual(answer["next"], "systemctl enable --now rackd")

    def test_name_of_the_token(self) -> None:
        """Without a name the rack is called what the token was made for."""
        self.assertEqual(self._join_line()["name"], "rack-of-the-token")
        config = load(RackdConfig, self.directory / "etc" / "rackd.toml")
        self.assertEqual(config.name, "rack-of-the-token")

    def test_refused(self) -> None:
        """A refused token leaves no configuration behind."""
        self.refusal = Refused("used", code="token-used")
        work: list[Any] = []
        self.assertRaises(
            Refused,
            local.answer,
            parse(["join", "r", "rg1.x", f"config={self.directory}/r.toml"], Path.read_bytes),
            lambda coroutine: self._raise(coroutine, work),
        )
        self.assertFalse((self.directory / "r.toml").exists())

    def _raise(self, work: Callable[[Any], Coroutine[Any, Any, Any]], _: list[Any]) -> Any:
        failure = self.failureResultOf(Deferred.fromCoroutine(work(None)))
        failure.raiseException()

    def test_a_file_that_is_there_stays(self) -> None:
        """Joining again keeps the file and uses its name and directory."""
        self._join_line("name=rack-7")
        path = self.directory / "etc" / "rackd.toml"
        before = path.read_text() + "# mine\n"
        path.write_text(before)
        answer = self._join_line()
        self.assertIn("restart", answer["next"])  # a running one knows the old certificate only
        self.assertEqual(self.joined[1][3:], ("rack-7", self.directory / "state"))
        self.assertEqual(path.read_text(), before)

    def test_a_file_that_says_something_else(self) -> None:
        """A file that disagrees with what was typed is neither changed nor ignored."""
        self._join_line("name=rack-7")
        self.assertRaises(Conflict, self._join_line, "name=rack-8")
        self.assertRaises(Conflict, self._join_line, "rpc_port=1")
        self.assertEqual(len(self.joined), 1)

    def test_ports_and_addresses(self) -> None:
        """Ports can be given, and an IPv6 region is written in brackets."""
        self.answer(
            "join",
            "[2001:db8::1]:9",
            "rg1.x",
            f"config={self.directory}/r.toml",
            f"state_dir={self.directory}/s",
            "rpc_port=8",
        )
        self.assertEqual(self.joined[0][:2], ("2001:db8::1", 9))
        config = load(RackdConfig, self.directory / "r.toml")
        self.assertEqual(config.regions, ("[2001:db8::1]:8",))

    def test_what_is_no_region(self) -> None:
        """A URL is not a region's name."""
        self.assertRaises(WrongUsage, self.answer, "join", "https://region", "rg1.x")

    def test_keys_belong_to_the_daemon(self) -> None:
        """What root has written belongs to the owner of the state directory."""
        if os.geteuid() != 0:
            self.skipTest("only root can give files away")
        (self.directory / "state").mkdir()
        os.chown(self.directory / "state", 12345, 12345)
        self._join_line()
        self.assertEqual((self.directory / "state" / "key.pem").stat().st_uid, 12345)


class CheckConfigTests(LocalCase):
    """Checking a file without a daemon."""

    def _file(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text)
        return path

    def test_ok(self) -> None:
        """A good file is ok, and the answer says whose it is."""
        path = self._file("regiond.toml", 'name = "r"\n')
        self.assertEqual(
            self.answer("check-config", str(path)),
            {"file": str(path), "daemon": "regiond", "ok": True},
        )

    def test_wrong(self) -> None:
        """A wrong file gives the line that the daemon would give."""
        path = self._file("rackd.toml", "namee = 3\n")
        error = self.assertRaises(ConfigError, self.answer, "check-config", str(path))
        self.assertEqual(error.line(), f'{path}: unknown key "namee" (nearest: name)')

    def test_missing(self) -> None:
        """A file that is not there is an error."""
        path = str(self.directory / "missing.toml")
        self.assertRaises(ConfigError, self.answer, "check-config", path)

    def test_whose_it_is(self) -> None:
        """The name tells whose file it is, else the keys do, else it is a region's."""
        cases = {
            ("my-rackd.toml", "database = 1"): RackdConfig,
            ("regiond-2.toml", "regions = []"): RegiondConfig,
            ("site.toml", 'name = "x"\nregions = []'): RackdConfig,
            ("site2.toml", 'name = "x"\nadvertise = []'): RegiondConfig,
            ("broken.toml", "="): RegiondConfig,
        }
        for (name, text), kind in cases.items():
            self.assertIs(local.daemon_of(self._file(name, text)), kind)


class PublishTests(LocalCase):
    """Wiring of publish-source."""

    def test_parameters_and_paths(self) -> None:
        """The publisher gets the directory, the parameters and the unread paths."""
        calls: list[tuple[Any, ...]] = []
        self.patch(local, "publish_source", lambda *what: calls.append(what) or {"out": "x"})
        words = "publish-source /srv/s key=F os=o release=r arch=a version=1 boot-kernel@=/k"
        self.assertEqual(self.answer(*words.split()), {"out": "x"})
        ((out, parameters, files),) = calls
        self.assertEqual((out, files), (Path("/srv/s"), {"boot-kernel": "/k"}))
        self.assertEqual(parameters["key"], "F")

    def test_without_files(self) -> None:
        """An image without files is wrong usage."""
        words = "publish-source /srv/s key=F os=o release=r arch=a version=1"
        self.assertRaises(WrongUsage, self.answer, *words.split())
