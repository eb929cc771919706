"""Questions that a daemon accepts."""

from twisted.trial.unittest import SynchronousTestCase

from common.canonical import canonical_json, parse
from common.errors import WrongUsage
from common.questions import check_question
from common.vocabulary import VERBS, Kind, Place, Question

_VALUES = {
    Kind.TEXT: "x",
    Kind.INTEGER: 1,
    Kind.BOOLEAN: True,
    Kind.LIST: ["a"],
    Kind.BYTES: "eA==",
    Kind.DURATION: 90,
    Kind.FILE: f"{'0' * 64}:5",
}


class QuestionTests(SynchronousTestCase):
    """Checked against the vocabulary."""

    def refused(self, question: Question, place: Place = Place.REGION) -> WrongUsage:
        return self.assertRaises(WrongUsage, check_question, question, place)

    def test_a_timeout_is_for_those_who_wait(self) -> None:
        """Without ``wait`` it would mean nothing; where the answer itself takes time it does."""
        timeout = {"timeout": 90}
        refused = self.refused(Question("boot-resources", "import", (), timeout))
        self.assertEqual(refused.remedy, "add: wait")
        check_question(Question("boot-resources", "import", (), timeout, ("wait",)), Place.REGION)
        check_question(Question("boot-source", "check", ("1",), timeout), Place.REGION)
        for wrong in (0, -1, 1.5, "90", True, 10**12):
            question = Question("boot-source", "check", ("1",), {"timeout": wrong})  # type: ignore[dict-item]  # wrong
            self.refused(question)

    def test_everything_that_can_be_waited_for_has_a_timeout(self) -> None:
        """One mechanism: the flag brings the parameter with it."""
        for verb in VERBS:
            has_timeout = "timeout" in {each.name for each in verb.parameters}
            self.assertEqual(has_timeout, verb.takes_time or "wait" in verb.flags, verb.name)

    def test_what_is_no_text_is_refused(self) -> None:
        """Bytes that are no UTF-8, as a command line may have, or a NUL: no database keeps them."""
        for bad in ("a\udcff", "a\0"):
            for question in (
                Question("rack-controller", "read", (bad,)),
                Question("available-images", "read", (), {"os": bad}),
                Question("rack-controllers", "canary", (), {"names": ["rack-1", bad]}),
                Question("config", "set", (), {bad: "x"}),
            ):
                self.assertEqual(self.refused(question).code, "wrong-value")
            check_question(Question("boot-resources", "export", (bad,)), Place.REGION)

    def test_every_verb(self) -> None:
        """Every verb, with all it takes, is accepted where it is answered and nowhere else."""
        for verb in VERBS:
            question = Question(
                verb.noun,
                verb.verb,
                ("1",) * len(verb.ids + verb.optional_ids),
                {each.name: _VALUES[each.kind] for each in verb.parameters},
                verb.flags,
            )
            crossed = parse(Question, canonical_json(question), "question")
            for place in Place:
                if place in verb.places:
                    self.assertIs(check_question(crossed, place), verb)
                else:
                    self.refused(crossed, place)

    def test_nearest_word(self) -> None:
        """A wrong word is named, with the nearest right one."""
        for question, code, near in (
            (Question("boot-sorces", "read"), "unknown-noun", "boot-sources"),
            (Question("boot-sources", "raed"), "unknown-verb", "read"),
            (Question("boot-sources", "create", (), {"ulr": "x"}), "unknown-parameter", "url"),
            (Question("boot-resources", "import", (), {}, ("wiat",)), "unknown-flag", "wait"),
        ):
            error = self.refused(question)
            self.assertEqual(error.code, code)
            self.assertIn(f'"{near}"', error.remedy)

    def test_wrong_daemon(self) -> None:
        """A rack that is asked for what a region answers says who does."""
        error = self.refused(Question("boot-sources", "read"), Place.RACK)
        self.assertIn("boot-sources", error.object + error.message)

    def test_ids(self) -> None:
        """Too few and too many ids are refused, naming what is wanted."""
        self.assertIn("ID", self.refused(Question("boot-source", "read")).message)
        self.refused(Question("boot-source", "read", ("1", "2")))
        self.refused(Question("status", "", ("1",)))

    def test_missing(self) -> None:
        """A missing required parameter is named."""
        error = self.refused(Question("boot-sources", "create"))
        self.assertIn("url=", error.message)

    def test_wrong_kind(self) -> None:
        """A value of the wrong type is refused, a boolean as a number too."""
        for name, value in (
            ("priority", "1"),
            ("priority", True),
            ("unsigned", "true"),
            ("url", 1),
            ("keyring_data", "not base64!"),
        ):
            error = self.refused(Question("boot-sources", "create", (), {"url": "x", name: value}))
            self.assertEqual((error.code, error.object), ("wrong-value", name))
