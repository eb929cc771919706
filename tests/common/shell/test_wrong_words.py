"""What is said to a wrong word (to a hundred of them: ``test_malformed``)."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.shell.wrong_words import nearest, unknown

WORDS = ("read", "create", "delete")


class WrongWordsTests(SynchronousTestCase):
    """The nearest right one."""

    def test_nearest(self) -> None:
        """Case does not count, and what resembles nothing has no nearest."""
        self.assertEqual(nearest("CREAT", WORDS), "create")
        self.assertEqual(nearest("xyz", WORDS), "")

    def test_one_that_begins_so(self) -> None:
        """Comes before one that is only similar, if no other begins so, too."""
        known = ("rack-controllers read", "rack-controllers import-boot-images")
        self.assertEqual(nearest("rack-controllers import", known), known[1])
        self.assertEqual(nearest("rea", ("ready", "read")), "read")

    def test_few_are_listed(self) -> None:
        """If none is similar, a few are all named; of many, where they are listed."""
        self.assertEqual(unknown("verb", "xyz", WORDS).remedy, "there are: read, create, delete")
        many = [f"{word}-{number}" for word in WORDS for number in range(9)]
        self.assertIn("rackferry help", unknown("verb", "xyz", many).remedy)

    @given(st.text(max_size=200))
    def test_any_word_has_an_answer(self, word: str) -> None:
        """Whatever is typed is named, not at any length, with a remedy."""
        error = unknown("word", word, WORDS)
        self.assertTrue(error.object and error.remedy)
        self.assertLess(len(error.object), 100)
