"""Line by line (in a real terminal: ``integration/test_interactive_shell``)."""

from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from twisted.trial.unittest import SynchronousTestCase

from common.errors import NoDaemon
from common.shell.completion import World
from common.shell.prompt import OWN_WORDS, WordCompleter, run_lines, split, whole_lines
from common.vocabulary import Question
from tests.doubles.shell_sessions import SessionCase


class LinesTests(SessionCase):
    """What is carried out."""

    def test_lines(self) -> None:
        """Lines are carried out in order, comments and empty ones skipped, until exit."""
        lines = ["status", "", "# nothing", "rack-controller read 'a b'", "exit", "status"]
        self.assertEqual(run_lines(lambda: self.session, lines, ["--socket", "/s"]), 0)
        self.assertEqual(
            self.daemon.asked,
            [
                ("/s", Question("status", "")),
                ("/s", Question("rack-controller", "read", ("a b",))),
            ],
        )

    def test_a_bad_line_does_not_end_it(self) -> None:
        """A line that fails is told and remembered; the next is carried out."""
        lines = ["nonsense", "status", "it's"]
        self.assertEqual(run_lines(lambda: self.session, lines, []), 2)
        self.assertEqual(len(self.daemon.asked), 1)
        self.assertEqual(len(self.err.getvalue().splitlines()), 2)

    def test_an_example_can_be_pasted(self) -> None:
        """The program's name in front is no word, and a backslash joins lines."""
        run_lines(lambda: self.session, ["rackferry boot-source \\\n  read 1"], [])
        self.assertEqual(self.daemon.asked[0][1], Question("boot-source", "read", ("1",)))

    def test_a_comment_begins_a_word(self) -> None:
        """As in any shell: within a word the sign is part of it, of a password for example."""
        for line, words in (
            ("a # b", ["a"]),
            ("password=a#b c#  # d", ["password=a#b", "c#"]),
            ("'a # b' # c", ["a # b"]),
            ('"\\" # b" \\# c', ['" # b', "#", "c"]),
            ("#", []),
        ):
            self.assertEqual(split(line), words)
        self.assertRaises(ValueError, split, "it's # a")

    def test_whole_lines(self) -> None:
        """Lines come one by one, however they were given."""
        self.assertEqual(
            list(whole_lines(["a\n", "b\\\n", "c\n", "d\ne", "", "f\\"])),
            ["a", "bc", "d", "e", "f"],
        )

    def test_ctrl_c(self) -> None:
        """It ends one line of somebody who types, and all lines of a file."""
        self.daemon.interrupts = True
        codes: list[int] = []
        lines = ["status", "nonsense"]
        self.assertEqual(run_lines(lambda: self.session, lines, [], codes.append), 2)
        self.assertEqual(codes, [130, 2])
        self.assertEqual(run_lines(lambda: self.session, lines, []), 130)

    def test_a_daemon_that_is_away(self) -> None:
        """Whoever types is told with each line, and the next line asks anew."""
        self.daemon.answer = NoDaemon("no")
        codes: list[int] = []
        run_lines(lambda: self.session, ["status"], [], codes.append)
        self.daemon.answer = {}
        run_lines(lambda: self.session, ["status"], [], codes.append)
        self.assertEqual(codes, [3, 0])


class WordCompleterTests(SynchronousTestCase):
    """The word before the cursor (which there are: ``test_completion``)."""

    def completed(self, text: str, *options: str) -> list[str]:
        world = World(lambda *_: [{"id": 1, "url": "u", "name": "a b"}], lambda _: [], OWN_WORDS)
        completer = WordCompleter(world, options)
        found = completer.get_completions(Document(text), CompleteEvent())
        return [text[: len(text) + each.start_position] + each.text for each in found]

    def test_words(self) -> None:
        """A whole word is followed by a space, a key by its value."""
        self.assertEqual(self.completed("boot-sources c"), ["boot-sources create "])
        self.assertEqual(self.completed("boot-sources create ur"), ["boot-sources create url="])
        self.assertEqual(self.completed("ex"), ["exit "])
        self.assertEqual(self.completed("rackferry stat"), ["rackferry status "])

    def test_quotes(self) -> None:
        """What needs quotes gets them; within quotes nothing is completed."""
        self.assertEqual(self.completed("rack-controller read "), ["rack-controller read 'a b' "])
        self.assertEqual(self.completed("boot-source 'x "), [])

    def test_options_of_the_whole_prompt(self) -> None:
        """What was given to ``rackferry`` is no word of the line."""
        self.assertEqual(self.completed("boot-source r", "--socket", "/s"), ["boot-source read "])
