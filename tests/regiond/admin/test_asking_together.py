"""Two shells at once, over a real socket."""

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from common.asking import AdminSocket
from common.vocabulary import Place, Question
from tests.doubles.answering import AnswerCase
from tests.doubles.importing import FIRST, JAMMY, NOBLE, path_of
from tests.doubles.shell_line import ask
from tests.doubles.stream_source import Fault

WAIT = Question("boot-resources", "import", flags=("wait",))


class TogetherTests(AnswerCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.socket = str(self.directory / "admin.sock")
        listening = AdminSocket(Place.REGION, self.answers.answer, reactor)
        self.port = reactor.listenUNIX(self.socket, listening)
        self.addCleanup(self.port.stopListening)
        self.runs = 0
        run = self.importer.run

        async def counted(reason: str) -> object:
            self.runs += 1
            self.assertFalse(self.at_work, "two imports at a time")
            self.at_work = True
            try:
                return await run(reason)
            finally:
                self.at_work = False

        self.at_work = False
        self.patch(self.importer, "run", counted)

    def shell(self) -> "Deferred[dict[str, object]]":
        return ask(self.socket, WAIT)

    async def test_two_shells_join_one_import(self) -> None:
        """Both are told how the one import ended."""
        await self.jammy()
        self.source.faults[path_of("jammy", "squashfs")] = Fault(silent=True)
        first, second = self.shell(), self.shell()
        await self.until(lambda: self.source.requests[path_of("jammy", "squashfs")])
        await self.until(lambda: len(self.imports._waiters) == 2)
        self.heal()
        self.source.drop_connections()
        answers = [await first, await second]
        self.assertEqual(answers[0], answers[1])
        self.assertEqual((answers[0]["outcome"], self.runs), ("complete", 1))

    async def test_a_shell_that_asks_after_a_change_gets_the_import_with_it(self) -> None:
        """Selected during an import, asked for during it: there when both are told."""
        self.publish(self.product("jammy"), self.product("noble"))
        await self.select(JAMMY)
        self.source.faults[path_of("jammy", "squashfs")] = Fault(silent=True)
        first = self.shell()
        await self.until(lambda: self.source.requests[path_of("jammy", "squashfs")])
        await self.select(NOBLE)
        second = self.shell()
        await self.until(lambda: len(self.imports._waiters) == 2)
        self.heal()
        self.source.drop_connections()
        answers = [await first, await second]
        self.assertEqual(answers[0], answers[1])
        self.assertEqual(self.runs, 2)
        self.assertEqual(await self.versions(), {"jammy": FIRST, "noble": FIRST})
