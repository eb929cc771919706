"""Who changed what, over a real socket, from a second user."""

import os
import sys
from pathlib import Path
from unittest import skipIf

from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue

from common.answering import Answers
from common.asking import AdminSocket
from common.vocabulary import Place
from tests.doubles.answering import AnswerCase

SRC = Path(__file__).resolve().parents[3] / "src"
NOBODY = 65534
ASK = """
import os, sys
from common.errors import RackferryError
from common.shell.grammar import parse
from common.shell.line import ask
# Only now: nobody may not read the libraries.
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[1]))
try:
    ask(os.environ["RACKFERRY_SOCKET"], parse(sys.argv[2:], None).question)
except RackferryError:
    sys.exit(1)
"""


class AuditTrailTests(AnswerCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.socket = str(self.directory / "admin.sock")
        keeping = Answers(self.answers.answer, self.region.note)
        listening = AdminSocket(Place.REGION, keeping.answer, reactor)
        port = reactor.listenUNIX(self.socket, listening, mode=0o666)
        self.addCleanup(port.stopListening)
        self.directory.chmod(0o711)

    async def shell(self, uid: int, *words: str) -> int:
        environment = {**os.environ, "PYTHONPATH": str(SRC), "RACKFERRY_SOCKET": self.socket}
        _, _, exit_code = await getProcessOutputAndValue(
            sys.executable, ["-c", ASK, str(uid), *words], environment
        )
        return exit_code

    @skipIf(os.getuid() != 0, "only root can be somebody else")
    async def test_the_audit_names_the_right_user(self) -> None:
        """A second user's change and refusal are that user's, root's is root's."""
        create = ("boot-sources", "create", "url=http://me:pw@127.0.0.1:9/", "unsigned=true")
        self.assertEqual(await self.shell(NOBODY, *create), 0)
        self.assertEqual(await self.shell(NOBODY, "boot-source", "delete", "77"), 1)
        self.assertEqual(await self.shell(0, "boot-source", "delete", "1"), 0)
        self.assertEqual(await self.shell(0, "boot-sources", "read"), 0)
        rows = await self.ask("events read", code="admin-change")
        causes = [row["cause"] for row in rows][::-1]
        self.assertEqual([row["state"] for row in rows], ["happened"] * 3)
        created, refused, deleted = causes
        self.assertRegex(created, rf"^nobody \(uid {NOBODY}, pid \d+\): boot-sources create url=")
        self.assertTrue(created.endswith(": done"), created)
        self.assertNotIn("pw", created)
        self.assertRegex(
            refused, rf"^nobody \(uid {NOBODY}, pid \d+\): boot-source delete 77: failed"
        )
        self.assertRegex(deleted, r"^root \(uid 0, pid \d+\): boot-source delete 1: done$")
        self.assertEqual(await self.ask("events read"), [])
