"""The real ``rackferry`` in a real terminal, against a real region."""

import gzip
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar
from unittest import SkipTest

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.processes import environment
from tests.integration.shells import rackferry_command
from tests.integration.site import Site
from tests.integration.sources import MIB, random_file
from tests.integration.typing_at import LIMIT_S, Terminal, terminal_environment
from tests.integration.upload_relay import UploadRelay

pytestmark = pytest.mark.timeout(300)  # a site is set up, and daemons are restarted

PROMPT = "rackferry> "
KILL_LINE = "\x15"
CTRL_C, CTRL_D, CLEAR, UP = "\x03", "\x04", "\x0c", "\x1b[A"
ESCAPE = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[()=>][0-9A-Z]?)")
COLOUR = re.compile(r"\x1b\[([0-9;]*;)?(3[0-8]|4[0-8]|9[0-7])(;[0-9;]*)?m")
SLOW = "rate_limit=2 Mbit/s"  # 8 MiB take half a minute
SLOW_RELEASES = ("forky", "sid", "trixie")  # each to be fetched once


_SITE: list[Site] = []


def setUpModule() -> None:
    """One region for all: it has one source, two images of it, and one rack."""
    site = Site(Path(tempfile.mkdtemp(prefix="rackferry-")))
    _SITE.append(site)
    small = random_file(site.directory / "small", 100)
    for release, size_bytes in (("bookworm", 100), *((each, 8 * MIB) for each in SLOW_RELEASES)):
        kernel = random_file(site.directory / release, size_bytes)
        product = {"os": "debian", "release": release, "arch": "amd64", "version": "20261121"}
        site.publish(product, {"boot-kernel": kernel, "boot-initrd": small})
    site.region.start()
    site.create_source()
    site.enrol("rack-1")
    site.shell("boot-source-selections", "create", "1", "os=debian", "release=bookworm")
    site.shell("boot-resources", "import", "wait")


def tearDownModule() -> None:
    """No process and no file stays."""
    while _SITE:
        site = _SITE.pop()
        site.close()
        shutil.rmtree(site.directory, ignore_errors=True)


class ShellCase(SynchronousTestCase):
    """Somebody at a terminal of that region's machine."""

    @property
    def site(self) -> Site:
        return _SITE[0]

    def setUp(self) -> None:
        home = tempfile.TemporaryDirectory(prefix="rackferry-")
        self.addCleanup(home.cleanup)
        self.home = Path(home.name)

    def terminal(
        self,
        *words: str,
        columns: int = 80,
        rows: int = 24,
        socket_path: Path | None = None,
        **more: str,
    ) -> Terminal:
        """``rackferry`` with these words, in a terminal."""
        path = socket_path or self.site.region_socket
        env = terminal_environment(str(self.home), str(path), **more)
        terminal = Terminal([*rackferry_command(), *words], env, columns, rows)
        self.addCleanup(terminal.__exit__, None, None, None)
        return terminal

    def prompt(self, **options: int | Path) -> Terminal:
        """Somebody at the prompt."""
        terminal = self.terminal(**options)  # type: ignore[arg-type]
        terminal.stands(PROMPT)
        return terminal


class CompletionTests(ShellCase):
    """Tab."""

    LINES: ClassVar[dict[str, str]] = {
        # nouns, verbs, options, words of the prompt
        "avail": "available-images ",
        "boot-sources c": "boot-sources create ",
        "--j": "--json ",
        "ex": "exit ",
        "help rack-controller up": "help rack-controller update ",
        # keys and flags
        "boot-sources create keyring_d": "boot-sources create keyring_data@=",
        "boot-resources import w": "boot-resources import wait ",
        # what there is: sources, selections, images, racks, settings
        "boot-source read ": "boot-source read 1 ",
        "boot-source-selection read 1 ": "boot-source-selection read 1 1 ",
        "boot-resource read 1": "boot-resource read 1 ",  # other tests add images
        "rack-controller read r": "rack-controller read rack-1 ",
        "config get boot_images_auto": "config get boot_images_auto_import ",
        "config set boot_images_auto_import=t": "config set boot_images_auto_import=true ",
        # what the source offers
        "available-images read os=": "available-images read os=debian ",
        "boot-source-selections create 1 release=t": (
            "boot-source-selections create 1 release=trixie "
        ),
        "boot-source-selections create 1 arches=": (
            "boot-source-selections create 1 arches=amd64 "
        ),
        # truths, choices, files
        "boot-source update 1 enabled=f": "boot-source update 1 enabled=false ",
        "boot-resources read type=u": "boot-resources read type=uploaded ",
        "check-config /etc/hostn": "check-config /etc/hostname ",
    }

    def test_each_kind(self) -> None:
        """Tab completes words, ids, keys, values, files: the table's and the daemon's."""
        terminal = self.prompt()
        for begun, line in self.LINES.items():
            terminal.press(begun)
            terminal.completes(PROMPT + line)
            terminal.press(KILL_LINE)
            terminal.stands(PROMPT)

    def test_what_may_be_chosen_is_explained(self) -> None:
        """Of several, all are shown with what they are; typing goes on meanwhile."""
        terminal = self.prompt()
        terminal.press("boot-source-selections create 1 os=debian release=\t")
        terminal.sees("trixie")
        terminal.sees("the newest LTS")
        terminal.press("tr")
        terminal.sees("release=tr")

    def test_a_daemon_that_hangs(self) -> None:
        """Whoever types goes on typing: a daemon that does not answer completes nothing."""
        terminal = self.prompt()
        self.site.region.pause()
        self.addCleanup(self.site.region.resume)
        terminal.press("boot-source read \t1")
        terminal.stands(PROMPT + "boot-source read 1")
        terminal.press(f"{KILL_LINE}boot-sources c")
        terminal.completes(PROMPT + "boot-sources create ")


class PromptTests(ShellCase):
    """What a session is like."""

    def test_history_over_two_runs(self) -> None:
        """The next run has the lines of this one, but none with a secret."""
        first = self.prompt()
        for line, said in (
            ("config get boot_images_versions", "boot_images_versions"),
            ("boot-source update 1 username=u password=hunter2", "basic"),
        ):
            first.press(f"{line}\r")
            first.sees(said)
            first.stands(PROMPT)
        first.press("exit\r")
        self.assertEqual(first.ends(), 0)
        second = self.prompt()
        second.press(UP)  # exit
        second.press(UP)
        second.stands(f"{PROMPT}config get boot_images_versions")
        file = self.home / ".local" / "state" / "rackferry" / "history"
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        self.assertNotIn("hunter2", file.read_text())

    def test_help(self) -> None:
        """Help is there for a verb, with an example that works when it is typed."""
        terminal = self.prompt()
        terminal.press("help boot-resources read\r")
        terminal.sees("example: rackferry boot-resources read type=synced")
        terminal.stands(PROMPT)
        terminal.press("rackferry boot-resources read type=synced\r")
        terminal.sees("published")
        terminal.stands(PROMPT)
        terminal.press(CTRL_D)
        self.assertEqual(terminal.ends(), 0)

    def test_a_wrong_word(self) -> None:
        """It gets one line with the nearest right one, and the prompt again."""
        terminal = self.prompt()
        terminal.press("boot-sorces read\r")
        terminal.sees('rackferry: boot-sorces: unknown word (did you mean "boot-sources"?)')
        terminal.stands(PROMPT)
        terminal.press("half a li")
        terminal.press(CTRL_C)
        terminal.stands(PROMPT)

    def test_80_columns(self) -> None:
        """No line of an answer or of help is longer than the terminal is wide, also when resized."""
        terminal = self.prompt()
        lines = ("boot-sources read", "boot-resources read", "available-images read", "status",
                 "config list", "rack-controllers read", "events read all", "help",
                 "help boot-source")  # fmt: skip
        for columns in (80, 100):
            terminal.resize(columns, 24)
            for line in lines:
                terminal.press(f"{KILL_LINE}{line}\r")
                before = len(terminal.raw)
                terminal.until(
                    lambda start=before: "\x1b[?2004h" in terminal.raw[start:],  # type: ignore[misc]
                    "the next prompt",
                )
                answer = terminal.raw[before:].partition("\x1b[?2004l")[2].split("\x1b[?")[0]
                for shown in ESCAPE.sub("", answer).splitlines():
                    self.assertLessEqual(len(shown.rstrip()), columns, f"{line}: {shown!r}")


class ColourTests(ShellCase):
    """Escapes."""

    def test_only_on_a_terminal(self) -> None:
        """A terminal gets a heading that stands out, a pipe plain text, NO_COLOR no colour."""
        shown = self.terminal("boot-sources", "read")
        self.assertEqual(shown.ends(), 0)
        self.assertIn("\x1b[1m", shown.raw)
        piped = subprocess.run(
            [*rackferry_command(), "boot-sources", "read"],
            env=environment(RACKFERRY_SOCKET=str(self.site.region_socket)),
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertNotIn("\x1b", piped.stdout + piped.stderr)
        for words in (("status",), ("boot-resources", "import", "wait"), ("nonsense",)):
            plain = self.terminal(*words, NO_COLOR="1")
            plain.ends()
            self.assertIsNone(COLOUR.search(plain.raw), words)

    def test_a_terminal_that_knows_no_escapes_gets_none(self) -> None:
        """That of an editor, for example; progress is plain lines there, too."""
        disk = random_file(self.home / "disk", 1000)
        words = ("name=dumb", "architecture=amd64", "filetype=ddraw", f"content@={disk}")
        shown = self.terminal("boot-resources", "create", *words, TERM="dumb")
        self.assertEqual(shown.ends(), 0)
        self.assertIn("reading", shown.raw)
        self.assertNotIn("\x1b", shown.raw)


class WaitingTests(ShellCase):
    """Waiting, Ctrl-C, restarts."""

    def begin(self, release: str) -> None:
        """An import that takes long, because the source may give so much only."""
        self.site.shell("boot-source", "update", "1", SLOW)
        words = ("boot-source-selections", "create", "1", "os=debian", f"release={release}")
        made = self.site.shell(*words)
        self.addCleanup(self.site.shell, "boot-source-selection", "delete", "1", str(made["id"]))
        self.addCleanup(self.site.shell, "boot-resources", "stop-import")
        self.addCleanup(self.full_speed)

    def full_speed(self) -> None:
        self.site.shell("boot-source", "update", "1", "rate_limit=")

    def test_ctrl_c_in_a_wait(self) -> None:
        """It ends the waiting and not the work, says so, and the same line joins it again."""
        self.begin("trixie")
        terminal = self.prompt()
        terminal.press("boot-resources import wait\r")
        terminal.sees("fetching")
        terminal.press(CTRL_C)
        terminal.sees("boot-resources import goes on; boot-resources import wait joins it")
        terminal.stands(PROMPT)
        self.assertTrue(self.site.shell("boot-resources", "is-importing"))
        terminal.press("boot-resources import wait\r")
        terminal.sees("fetching")
        self.full_speed()
        terminal.sees("complete")
        terminal.stands(PROMPT)

    def test_ctrl_c_in_a_one_shot_wait(self) -> None:
        """A command ends with code 130 and the same line; no traceback."""
        self.begin("sid")
        terminal = self.terminal("boot-resources", "import", "wait")
        terminal.sees("fetching")
        terminal.press(CTRL_C)
        self.assertEqual(terminal.ends(), 130)
        self.assertIn("joins it", terminal.raw)
        self.assertNotIn("Traceback", terminal.raw)

    def test_a_restart_while_somebody_waits(self) -> None:
        """Waiting outlives a restart of the daemon; the work goes on where it was."""
        self.begin("forky")
        terminal = self.prompt()
        terminal.press("boot-resources import wait\r")
        terminal.sees("fetching")
        self.site.region.kill()
        terminal.sees("went away")
        self.site.region.start()
        self.full_speed()
        terminal.sees("complete")
        terminal.stands(PROMPT)


class RestartTests(ShellCase):
    """A daemon that is away."""

    def test_it_comes_back(self) -> None:
        """Without a daemon the prompt says so and stays; with the next line all is well."""
        terminal = self.prompt()
        self.site.region.stop()
        terminal.press("boot-sources read\r")
        terminal.sees("no daemon answers")
        terminal.stands("rackferry (no daemon)> ")
        terminal.press("boot-sources c")
        terminal.completes("rackferry (no daemon)> boot-sources create ")
        self.site.region.start()
        terminal.press(f"{KILL_LINE}boot-source re")
        terminal.completes("rackferry (no daemon)> boot-source read ")
        terminal.press("1\r")
        terminal.sees("keyring")
        terminal.stands(PROMPT)


class OtherShellsTests(ShellCase):
    """Completion in bash and zsh themselves."""

    LINES: ClassVar[dict[str, str]] = {
        "rackferry boot-source ch": "rackferry boot-source check ",
        "rackferry boot-sources create keyring_d": ("rackferry boot-sources create keyring_data@="),
        "rackferry --soc": "rackferry --socket=",
        "rackferry boot-source update 1 enabled=f": (
            "rackferry boot-source update 1 enabled=false "
        ),
        "rackferry check-config /etc/hostn": "rackferry check-config /etc/hostname ",
        "rackferry boot-source read ": "rackferry boot-source read 1 ",
        "rackferry rack-controller read rack": "rackferry rack-controller read rack-1 ",
        "rackferry available-images read release=t": (
            "rackferry available-images read release=trixie "
        ),
    }

    def shell(self, argv: list[str], *lines: str) -> Terminal:
        binaries = self.home / "bin"
        binaries.mkdir()
        command = binaries / "rackferry"
        quoted = " ".join(f"'{word}'" for word in rackferry_command())
        command.write_text(f'#!/bin/sh\nexec {quoted} "$@"\n')
        command.chmod(0o755)
        env = terminal_environment(str(self.home), str(self.site.region_socket))
        env["PATH"] = f"{binaries}:{env['PATH']}"
        terminal = Terminal(argv, {**env, "PYTHONPATH": environment()["PYTHONPATH"]}, 100, 30)
        self.addCleanup(terminal.__exit__, None, None, None)
        for line in (*lines, "PS1='$ '"):
            terminal.press(f"{line}\r")
        terminal.press("clear\r")
        terminal.stands("$ ")
        return terminal

    def check(self, terminal: Terminal) -> None:
        for begun, line in self.LINES.items():
            terminal.press(begun)
            terminal.completes(f"$ {line}")
            terminal.press(KILL_LINE)
            terminal.stands("$ ")

    def test_bash(self) -> None:
        """In bash Tab completes words, keys, values and what the daemon has."""
        self.check(
            self.shell(
                ["bash", "--norc", "--noprofile"],
                "bind 'set bell-style none'; bind 'set enable-bracketed-paste off'",
                'eval "$(rackferry completion bash)"',
            )
        )

    def test_zsh(self) -> None:
        """In zsh, too."""
        if not Path("/usr/bin/zsh").exists():
            raise SkipTest("zsh is not installed")
        self.check(
            self.shell(
                ["zsh", "-f", "-i"],
                "unsetopt beep; unsetopt promptsp; bindkey -e",
                "autoload -U compinit; compinit -u -D",
                'eval "$(rackferry completion zsh)"',
            )
        )


class FlowTests(ShellCase):
    """Everything else that takes more than one line, as it is typed."""

    def type(self, terminal: Terminal, line: str, *shown: str) -> None:
        """A line on an empty screen, and what is shown for it, before the next prompt."""
        terminal.press(CLEAR)
        terminal.until(lambda: terminal.lines == [PROMPT.rstrip()], "an empty screen")
        terminal.press(f"{line}\r")
        for each in shown:
            terminal.sees(each)
        terminal.stands(PROMPT)

    def raw_disk(self, name: str, size_bytes: int = 2000) -> Path:
        return random_file(self.site.directory / name, size_bytes)

    def create(self, name: str, path: Path, filetype: str = "ddraw") -> str:
        """The line that makes a custom image."""
        kind = f"architecture=amd64 filetype={filetype}"
        return f"boot-resources create name={name} {kind} content@={path}"

    def made(self, name: str, path: Path, filetype: str = "ddraw") -> str:
        """The id of a custom image that was made on the way."""
        return str(self.site.shell(*self.create(name, path, filetype).split())["id"])

    def test_an_upload(self) -> None:
        """It says how far it is; Ctrl-C says how to go on, and the same line does not begin anew."""
        path = self.raw_disk("large", 6 * MIB)
        relay = UploadRelay(self.home / "relay.sock", self.site.region_socket)
        self.addCleanup(relay.close)
        relay.hold_at = 3 * MIB
        terminal = self.prompt(columns=200, socket_path=relay.path)
        terminal.press(f"{self.create('interrupted', path)}\r")
        terminal.sees("sending, 48 KiB of 6 MiB")
        self.assertTrue(relay.wait_for(lambda: relay.reached >= 3 * MIB, LIMIT_S))
        terminal.press(CTRL_C)
        terminal.sees("interrupted; the same line goes on where it stopped")
        terminal.stands(PROMPT)
        names = {row["name"] for row in self.site.shell("boot-resources", "read")}
        self.assertNotIn("custom/interrupted", names)
        relay.let_go()
        terminal.press(f"{UP}\r")
        terminal.sees("published; racks fetch it")
        terminal.stands(PROMPT)
        self.assertGreaterEqual(relay.uploads[-1].begin, MIB)

    def test_versions(self) -> None:
        """A version is pinned, let go of, and gone back from, by the ids that the answers name."""
        self.site.shell("config", "set", "boot_images_versions=2")
        self.addCleanup(self.site.shell, "config", "set", "boot_images_versions=")
        first, second = (self.made("versioned", self.raw_disk(each)) for each in ("one", "two"))
        terminal = self.prompt(columns=200)
        self.type(terminal, f"boot-resource pin {second}", f"boot-resource unpin {second} ends")
        self.type(terminal, f"boot-resource pin {first}", "is kept, not published")
        self.type(terminal, f"boot-resource unpin {second}", "no import updates an upload")
        said = f"it is pinned, so that no import undoes this: boot-resource unpin {first}"
        self.type(terminal, f"boot-resource rollback {second}", "in place of", said[:40])
        rows = {str(row["id"]): row for row in self.site.shell("boot-resources", "read")}
        self.assertEqual((rows[first]["state"], rows[first]["pinned"]), ("published", True))

    def test_canaries(self) -> None:
        """A rack gets new versions first, until somebody says that all may have them."""
        terminal = self.prompt(columns=200)
        self.addCleanup(self.site.shell, "rack-controllers", "canary", "names=")
        line = "rack-controllers canary"
        self.type(terminal, f"{line} names=rack-1 after=promote", "racks waiting  0")
        self.made("for-canaries", self.raw_disk("for-canaries"))
        self.type(terminal, line, "custom/for-canaries")
        self.type(terminal, "status", "the next: rackferry rack-controllers canary promote")
        self.type(terminal, f"{line} promote", "racks waiting  0", "waiting        -")
        self.assertEqual(self.site.shell(*line.split())["waiting"], [])

    def test_a_bundle(self) -> None:
        """Images go to a disk and come back from it, by two lines."""
        bundle = self.home / "bundle"
        terminal = self.prompt(columns=200)
        carried = self.made("carried", self.raw_disk("carried"))
        line = f"boot-resources export {bundle} images=custom/carried,debian/bookworm"
        self.type(terminal, line, "images          2", "elsewhere size  0 B")
        self.site.shell("boot-resource", "delete", carried)
        line = f"boot-resources import-bundle {bundle}"
        self.type(terminal, line, "complete", "1 uploaded image is left out", "add: uploads")
        key = "published   custom/amd64/generic/carried/uploaded"
        self.type(terminal, f"{line} uploads", "complete", key)

    def test_an_esxi_network(self) -> None:
        """What a deployment does with a network is asked for a file, and refused by name."""
        disk = self.home / "esxi.gz"
        disk.write_bytes(gzip.compress(b"\xeb\x3c" + bytes(3000)))
        esxi = self.made("esxi/7.0", disk, "ddgz")
        netplan = self.home / "netplan.yaml"
        netplan.write_text(
            "network:\n"
            "  ethernets: {eth0: {}, eth1: {}}\n"
            "  bonds:\n"
            "    bond0: {interfaces: [eth0, eth1], addresses: [10.0.0.5/24], gateway4: 10.0.0.1}\n"
        )
        terminal = self.prompt(columns=200)
        line = f"boot-resource check-network {esxi} config@={netplan}"
        self.type(terminal, line, "NIC teaming (portid) of eth0, eth1, 10.0.0.5/24")
        netplan.write_text(netplan.read_text().replace("gateway4: 10.0", "gateway4: 10.9"))
        self.type(terminal, line, "bond0: gateway4 10.9.0.1: not in the subnet")
