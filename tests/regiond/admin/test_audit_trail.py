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
AS_NOBODY = f"""
import os, sys
import common.shell.line  # as root, who may read every directory
from common.shell.main import main
os.setgid({NOBODY})
os.setuid({NOBODY})
sys.exit(main(sys.argv[1:]))
"""

AS_ROOT = "import sys; from common.shell.main import main; sys.exit(main())"


class AuditTrailTests(AnswerCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.socket = str(self.directory / "admin.sock")
        keeping = Answers(self.answers.answer, self.region.note)
        listening = AdminSocket(Place.REGION, keeping.answer, reactor)
        port = reactor.listenUNIX(self.socket, listening, mode=0o666)
        self.addCleanup(port.stopListening)
        self.directory.chmod(0o711)

    async def shell(self, code: str, *words: str) -> tuple[str, int]:
        environment = {**os.environ, "PYTHONPATH": str(SRC), "RACKFERRY_SOCKET": self.socket}
        out, err, exit_code = await getProcessOutputAndValue(
            sys.executable, ["-c", code, "--json", *words], environment
        )
        return (out + err).decode(), exit_code

    @skipIf(os.getuid() != 0, "only root can be somebody else")
    async def test_the_audit_names_the_right_user(self) -> None:
        """A second user's change and refusal are that user's, root's is root's."""
        create = ("boot-sources", "create", "url=http://me:pw@127.0.0.1:9/", "unsigned=true")
        _, exit_code = await self.shell(AS_NOBODY, *create)
        self.assertEqual(exit_code, 0)
        _, exit_code = await self.shell(AS_NOBODY, "boot-source", "delete", "77")
        self.assertEqual(exit_code, 1)
        self.assertEqual((await self.shell(AS_ROOT, "boot-source", "delete", "1"))[1], 0)
        self.assertEqual((await self.shell(AS_ROOT, "boot-sources", "read"))[1], 0)
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
