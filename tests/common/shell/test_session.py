"""One command line from beginning to end, with a daemon that is a function."""

import json
import tempfile
from datetime import UTC
from pathlib import Path
from typing import Any, ClassVar

import attrs

from common.addresses import ENROL_PORT, RPC_PORT
from common.errors import Conflict, NoDaemon, TimedOut
from common.shell.grammar import REGION_SOCKET
from common.shell.render import Screen
from common.shell.session import join_line
from common.vocabulary import Question
from tests.doubles.shell_sessions import SessionCase


class SessionTests(SessionCase):
    """Answers, errors, exit codes."""

    def test_answer_on_stdout(self) -> None:
        """An answer goes to stdout alone and the code is 0."""
        self.daemon.answer = [{"id": 1, "url": "http://x"}]
        self.assertEqual(self.run_line("boot-sources read"), 0)
        self.assertIn("http://x", self.out.getvalue())
        self.assertEqual(self.err.getvalue(), "")

    def test_json(self) -> None:
        """With --json the answer comes as it is."""
        self.daemon.answer = [{"id": 1, "url": "http://x"}]
        self.assertEqual(self.run_line("boot-sources read --json"), 0)
        self.assertEqual(json.loads(self.out.getvalue()), self.daemon.answer)

    def test_which_socket(self) -> None:
        """The option wins over the variable, the variable over the region's socket."""
        self.run_line("status")
        self.environ["RACKFERRY_SOCKET"] = "/variable"
        self.run_line("status")
        self.run_line("status --socket /option")
        self.assertEqual(
            [socket for socket, _ in self.daemon.asked], [REGION_SOCKET, "/variable", "/option"]
        )

    def test_exit_codes(self) -> None:
        """Each family of errors has the code of the design."""
        for error, code in ((Conflict("x"), 1), (NoDaemon("x"), 3), (TimedOut("x"), 4)):
            self.daemon.answer = error
            self.assertEqual(self.run_line("status"), code)
        self.assertEqual(self.run_line("stattus"), 2)
        self.assertEqual(self.run_line("boot-sources create url=u keyring_data@=/no/such"), 2)
        self.assertEqual(self.out.getvalue(), "")

    def test_errors_in_both_forms(self) -> None:
        """An error is a line, or with --json an object, always on stderr."""
        self.daemon.answer = Conflict("exists", object="boot-source 1", remedy="delete it")
        self.run_line("status")
        self.assertEqual(self.err.getvalue(), "rackferry: boot-source 1: exists (delete it)\n")
        self.err.truncate(0)
        self.err.seek(0)
        self.run_line("status --json")
        self.assertEqual(json.loads(self.err.getvalue())["error"]["code"], "conflict")

    def test_wrong_usage_in_json(self) -> None:
        """Even a line that cannot be understood is answered in the form it asks for."""
        self.assertEqual(self.run_line("--json nonsense"), 2)
        self.assertEqual(json.loads(self.err.getvalue())["error"]["code"], "wrong-usage")

    def test_create_token(self) -> None:
        """The token stands alone on stdout; what to type on the rack is on stderr."""
        self.daemon.answer = {
            "name": "r1",
            "token": "rg1.x",
            "expires_at": 1.0,
            "hosts": ["region.example", "10.0.0.1"],
            "enrol_port": 6251,
        }
        self.assertEqual(self.run_line("rack-controllers create-token name=r1"), 0)
        self.assertEqual(self.out.getvalue(), "rg1.x\n")
        self.assertIn("rackferry join region.example rg1.x enrol_port=6251\n", self.err.getvalue())

    def test_join_line(self) -> None:
        """On the usual ports the line to type is as short as can be, and it parses."""
        token = {"token": "rg1.x", "hosts": ["r"], "enrol_port": ENROL_PORT, "rpc_port": RPC_PORT}
        self.assertEqual(join_line(token), "rackferry join r rg1.x")
        line = join_line({**token, "rpc_port": 1})
        self.assertEqual(self.run_line(line.removeprefix("rackferry ")), 0)

    def test_create_token_in_json(self) -> None:
        """As JSON a token comes with its name and expiry, and stderr is empty."""
        self.daemon.answer = {"name": "r1", "token": "rg1.x", "expires_at": 1.0}
        self.run_line("rack-controllers create-token name=r1 --json")
        self.assertEqual(json.loads(self.out.getvalue()), self.daemon.answer)
        self.assertEqual(self.err.getvalue(), "")

    def test_is_importing(self) -> None:
        """Whether an import runs is one word on stdout."""
        self.daemon.answer = True
        self.run_line("boot-resources is-importing")
        self.assertEqual(self.out.getvalue(), "true\n")

    def test_wait_with_progress(self) -> None:
        """Progress goes to stderr, the result to stdout."""
        self.daemon.progress = [{"phase": "fetching"}, {"phase": "publishing"}]
        self.daemon.answer = {"outcome": "complete", "failed": {}}
        self.assertEqual(self.run_line("boot-resources import wait"), 0)
        self.assertEqual(self.err.getvalue(), "fetching\npublishing\n")
        self.assertIn("complete", self.out.getvalue())

    EVENT: ClassVar[dict[str, Any]] = {
        "id": 3,
        "at": 0.0,
        "severity": "error",
        "code": "no-space",
        "object": "database",
        "cause": "the disk\x1b is full",
        "remedy": "free space",
        "state": "open",
        "cleared_at": None,
    }

    def test_following(self) -> None:
        """Each event is one line on stdout, and so is its end."""
        over = {**self.EVENT, "state": "cleared", "cleared_at": 60.0}
        self.daemon.progress = [self.EVENT, over]
        self.session = attrs.evolve(self.session, screen=Screen(zone=UTC))
        self.assertEqual(self.run_line("events read follow"), 0)
        self.assertEqual(
            self.out.getvalue().splitlines(),
            [
                "1970-01-01 00:00:00  error    no-space  database: the disk\ufffd is full (free space)",
                "1970-01-01 00:01:00  cleared  no-space  database: the disk\ufffd is full",
            ],
        )
        self.assertEqual(self.err.getvalue(), "")

    def test_following_in_json(self) -> None:
        """With --json each event is one object on one line."""
        self.daemon.progress = [self.EVENT, self.EVENT]
        self.run_line("events read follow --json")
        lines = self.out.getvalue().splitlines()
        self.assertEqual([json.loads(line) for line in lines], self.daemon.progress)

    def test_following_ends(self) -> None:
        """Ctrl-C ends it without a word; a daemon that stops is an error with code 3."""
        self.daemon.interrupts = True
        self.assertEqual((self.run_line("events read follow"), self.err.getvalue()), (130, ""))
        self.session = attrs.evolve(self.session, is_error_terminal=True)
        self.run_line("events read follow")
        self.assertEqual(self.err.getvalue(), "\n")  # the next prompt is not behind "^C"
        self.daemon.interrupts = False
        self.daemon.answer = NoDaemon("no daemon answers: it has stopped")
        self.assertEqual(self.run_line("events read follow"), 3)
        self.assertIn("it has stopped", self.err.getvalue())

    def test_ctrl_c_ends_the_waiting_only(self) -> None:
        """Whoever waits no longer is told what goes on, and how to wait again; the code is 130."""
        self.daemon.interrupts = True
        for line, said in {
            "boot-resources import wait": "boot-resources import goes on; "
            "boot-resources import wait joins it",
            "rack-controller import-boot-images r1 wait": "rack-controller import-boot-images goes "
            "on; rack-controller import-boot-images r1 wait joins it",
            "boot-resources export /x": "interrupted; the same line goes on where it stopped",
            "status": "interrupted; a daemon goes on with what it does",
        }.items():
            self.assertEqual(self.run_line(line), 130)
            self.assertEqual(self.err.getvalue(), f"rackferry: {said}\n")
            self.err.truncate(0)
            self.err.seek(0)
        self.assertEqual(self.out.getvalue(), "")

    def test_files_that_are_none(self) -> None:
        """A path that is none, and a device that never ends, are wrong usage and nothing worse."""
        for path in ("/no/such", "/", "a\0b"):
            self.assertEqual(self.run_line(f"boot-sources create url=u keyring_data@={path}"), 2)
        self.run_line("boot-sources create url=u keyring_data@=/dev/zero")
        self.assertEqual(len(self.err.getvalue().splitlines()), 3)

    def test_wait_for_a_failed_import(self) -> None:
        """An import in which an image failed is a failure."""
        self.daemon.answer = {"outcome": "incomplete", "failed": {"ubuntu/jammy": "cut"}}
        self.assertEqual(self.run_line("boot-resources import wait"), 1)

    def test_local_verbs_ask_no_daemon(self) -> None:
        """What needs no daemon works without one."""
        self.assertEqual(self.run_line("check-config /etc/x.toml"), 0)
        self.assertEqual(self.daemon.asked, [])
        self.assertEqual(self.local[0].question, Question("check-config", "", ("/etc/x.toml",)))

    def test_help_and_version(self) -> None:
        """Help and version need nothing but stdout."""
        self.assertEqual(self.run_line("--version"), 0)
        self.assertRegex(self.out.getvalue(), r"^rackferry \S+\n$")
        self.assertEqual(self.run_line("boot-sources --help"), 0)
        self.assertIn("keyring_data@=FILE", self.out.getvalue())

    def test_a_file_is_sent(self) -> None:
        """A key with @= sends the content of the file."""
        with tempfile.TemporaryDirectory() as directory:
            keyring = Path(directory) / "k"
            keyring.write_bytes(b"\x99")
            self.run_line(f"boot-sources create url=u keyring_data@={keyring}")
        self.assertEqual(self.daemon.asked[0][1].parameters["keyring_data"], "mQ==")


class AsMaasTests(SessionCase):
    """``rackferry maas PROFILE ...`` (what is printed: ``test_maas``)."""

    def test_json_alone_in_a_pipe(self) -> None:
        """A script reads MAAS's JSON and nothing else."""
        self.daemon.answer = []
        self.assertEqual(self.run_line("maas admin boot-sources read"), 0)
        self.assertEqual((self.out.getvalue(), self.err.getvalue()), ("[]\n", ""))

    def test_nothing_to_do(self) -> None:
        """A line that logs in succeeds without a daemon, and says so on stderr alone."""
        self.assertEqual(self.run_line("maas login admin http://x/MAAS key"), 0)
        self.assertEqual((self.out.getvalue(), self.daemon.asked), ("", []))
        self.assertEqual(len(self.err.getvalue().splitlines()), 1)

    def test_errors(self) -> None:
        """An error is a line on stderr with the same exit code as without ``maas``."""
        self.daemon.answer = Conflict("exists", object="boot-source 1")
        self.assertEqual(self.run_line("maas admin boot-sources read"), 1)
        self.assertEqual(self.run_line("maas admin nonsense"), 2)
        self.assertEqual(self.out.getvalue(), "")
        self.assertIn("rackferry: boot-source 1: exists\n", self.err.getvalue())
