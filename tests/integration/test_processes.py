"""The harness itself: it must see READY, deaths and refusals, or no test above it can fail."""

import os
import shutil
import sys
import tempfile
import urllib.request
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.processes import (
    Daemon,
    ProcessFailed,
    cpu_seconds,
    unit_environment,
)
from tests.integration.shells import ShellFailed, run_shell
from tests.integration.sources import FileServer, SigningKey, free_ports, random_file

NOTIFY = """\
import os, socket, time
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
    notices.sendto(b"STATUS=coming", os.environ["NOTIFY_SOCKET"])
    notices.sendto(b"STATUS=there\\nREADY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(60)
"""


class ProcessTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="rackferry-"))
        self.addCleanup(shutil.rmtree, self.directory)

    def daemon(self, script: str) -> Daemon:
        argv = [sys.executable, "-S", "-c", script]
        daemon = Daemon("toy", argv, self.directory, self.directory, {"COLOUR": "blue"})
        self.addCleanup(daemon.kill)
        return daemon


class DaemonTests(ProcessTestCase):
    def test_start_waits_for_ready(self) -> None:
        """Start returns once READY=1 came, whatever was notified before it."""
        daemon = self.daemon(NOTIFY)
        daemon.start()
        self.assertTrue(daemon.is_running)
        self.assertGreater(daemon.peak_rss_bytes(), 1024 * 1024)
        self.assertGreater(cpu_seconds(os.getpid()), cpu_seconds(daemon.pid))

    def test_death_while_starting_is_told_with_its_last_words(self) -> None:
        """A daemon that refuses to start fails the start at once, with its log."""
        daemon = self.daemon("import os, sys; sys.exit('no ' + os.environ['COLOUR'])")
        failure = self.assertRaises(ProcessFailed, daemon.start)
        self.assertIn("ended with 1", str(failure))
        self.assertIn("no blue", str(failure))

    def test_silence_is_told_and_ended(self) -> None:
        """A daemon that never says READY is killed when the limit is over."""
        daemon = self.daemon("import time; time.sleep(60)")
        failure = self.assertRaises(ProcessFailed, daemon.start, limit_s=0.2)
        self.assertIn("not READY in time", str(failure))
        self.assertFalse(daemon.is_running)

    def test_a_paused_daemon_can_be_stopped(self) -> None:
        """SIGTERM reaches a daemon that stands still."""
        daemon = self.daemon(NOTIFY)
        daemon.start()
        daemon.pause()
        self.assertEqual(daemon.stop(), -15)

    def test_stop_gives_the_exit_code_and_kill_leaves_nothing(self) -> None:
        """SIGTERM's result is seen; after SIGKILL the process is gone; both may be repeated."""
        daemon = self.daemon(NOTIFY)
        daemon.start()
        self.assertEqual(daemon.stop(), -15)
        daemon.start()
        daemon.kill()
        daemon.kill()
        self.assertFalse(daemon.is_running)
        self.assertEqual((daemon.starts, daemon.stop()), (2, 0))


class ShellTests(ProcessTestCase):
    def test_a_refusal_carries_code_and_error_object(self) -> None:
        """Without a daemon rackferry exits 3, and the error object is there to look at."""
        socket_path = self.directory / "none.sock"
        failure = self.assertRaises(ShellFailed, run_shell, ["status"], socket_path=socket_path)
        self.assertEqual(failure.exit_code, 3)
        self.assertEqual(failure.error["code"], "no-daemon")


class UnitTests(ProcessTestCase):
    def test_environment_lines_are_read(self) -> None:
        """Every assignment of every Environment= line counts, quotes included."""
        unit = self.directory / "x.service"
        unit.write_text('[Service]\nEnvironment=A=1 "B=2 3"\nEnvironment=C=4\nUser=x\n')
        self.assertEqual(unit_environment(unit), {"A": "1", "B": "2 3", "C": "4"})


class SourceTests(ProcessTestCase):
    def test_ports_are_different(self) -> None:
        """As many ports as were asked for, each another one."""
        self.assertEqual(len(set(free_ports(4, ("127.0.0.1", "127.0.0.2")))), 4)

    def test_served_bytes_are_the_files_bytes(self) -> None:
        """What the file server gives is what is in the tree."""
        original = random_file(self.directory / "tree" / "a", 100_000)
        server = FileServer(self.directory / "tree", self.directory / "web")
        self.addCleanup(server.close)
        with urllib.request.urlopen(f"{server.url}a") as answer:
            self.assertEqual(answer.read(), original.read_bytes())

    def test_a_key_signs_and_comes_back(self) -> None:
        """A key signs documents, and the same home gives the same key again."""
        key = SigningKey(self.directory / "gnupg")
        self.addCleanup(key.close)
        self.assertIn(b"BEGIN PGP SIGNATURE", key.signed(b"{}"))
        self.assertEqual(SigningKey(key.home).fingerprint, key.fingerprint)
