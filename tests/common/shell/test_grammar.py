"""What is typed, as questions."""

import base64

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.errors import WrongUsage
from common.questions import check_question
from common.shell.grammar import NOUNS, Invocation, is_empty, parse
from common.vocabulary import BY_NAME, VERBS, Kind, Place, Question

FILES = {"k.gpg": b"\x99\x01", "n.txt": b"rack-1\n"}


def _parse(line: str) -> Invocation:
    return parse(line.split(), FILES.__getitem__)


class QuestionTests(SynchronousTestCase):
    """Nouns, verbs, ids, parameters, flags."""

    def test_simple(self) -> None:
        """A noun and a verb are a question without anything else."""
        self.assertEqual(
            _parse("boot-sources read").question, Question("boot-sources", "read", (), {}, ())
        )

    def test_noun_alone(self) -> None:
        """A noun that needs no verb stands alone."""
        self.assertEqual(_parse("status").question, Question("status", ""))

    def test_ids_parameters_flags(self) -> None:
        """Words fill the ids first; what follows them are flags."""
        self.assertEqual(
            _parse("boot-source-selection delete 3 7").question,
            Question("boot-source-selection", "delete", ("3", "7")),
        )
        self.assertEqual(
            _parse("boot-resources import wait").question,
            Question("boot-resources", "import", (), {}, ("wait",)),
        )

    def test_optional_id(self) -> None:
        """An optional id may be there or not."""
        self.assertEqual(_parse("available-images read 2 os=ubuntu").question.ids, ("2",))
        self.assertEqual(_parse("available-images read os=ubuntu").question.ids, ())

    def test_typed_values(self) -> None:
        """Values come out as the kind of their parameter."""
        question = _parse("boot-sources create url=http://x/a=b priority=-3 unsigned=yes").question
        self.assertEqual(
            question.parameters, {"url": "http://x/a=b", "priority": -3, "unsigned": True}
        )

    def test_lists(self) -> None:
        """Commas and repeated keys both make a list."""
        line = "boot-source-selections create 1 os=ubuntu release=jammy "
        for arches in ("arches=amd64,arm64", "arches=amd64 arches=arm64"):
            question = _parse(line + arches).question
            self.assertEqual(question.parameters["arches"], ["amd64", "arm64"])

    def test_commas_alone_are_no_list(self) -> None:
        """Variables that nobody set do not clear what an empty list would clear."""
        question = _parse("rack-controllers canary names=").question
        self.assertEqual(question.parameters["names"], [])
        with self.assertRaises(WrongUsage) as caught:
            _parse("rack-controllers canary names=,")
        self.assertIn("names=", caught.exception.remedy)

    def test_values_are_listed(self) -> None:
        """If none is similar, however many there are."""
        with self.assertRaises(WrongUsage) as caught:
            _parse("boot-resources create name=a architecture=amd64 content@=k.gpg filetype=qqq")
        self.assertIn("self-extracting", caught.exception.remedy)

    def test_files(self) -> None:
        """A file is base64 for bytes, and stripped text for anything else."""
        question = _parse("boot-sources create url=u keyring_data@=k.gpg").question
        self.assertEqual(
            question.parameters["keyring_data"], base64.b64encode(FILES["k.gpg"]).decode()
        )
        question = _parse("boot-sources create url=u keyring_data=mQE=").question
        self.assertEqual(question.parameters["keyring_data"], "mQE=")
        question = _parse("rack-controllers create-token name@=n.txt").question
        self.assertEqual(question.parameters["name"], "rack-1")

    def test_local_files_are_not_read(self) -> None:
        """Images to publish stay paths: they are big."""
        invocation = _parse(
            "publish-source /srv/out key=F os=debian release=12 arch=amd64 version=1 "
            "boot-kernel@=/not/read boot-initrd@=/nor/this"
        )
        self.assertEqual(invocation.files, {"boot-kernel": "/not/read", "boot-initrd": "/nor/this"})

    def test_every_verb_can_be_asked(self) -> None:
        """Every row of the table can be typed, and passes the daemon's own check."""
        for verb in VERBS:
            words = [verb.noun, verb.verb, *("1" for _ in verb.ids), *verb.flags]
            for parameter in verb.parameters:
                text = {Kind.INTEGER: "1", Kind.BOOLEAN: "no", Kind.LIST: "a,b"}
                text[Kind.DURATION] = "10m"
                if parameter.kind in {Kind.BYTES, Kind.FILE}:
                    words.append(f"{parameter.name}@=k.gpg")
                else:
                    value = next(iter(parameter.choices), text.get(parameter.kind, "x"))
                    words.append(f"{parameter.name}={value}")
            question = parse([word for word in words if word], FILES.__getitem__).question
            for place in verb.places - {Place.LOCAL}:
                self.assertIs(check_question(question, place), verb)


class OptionTests(SynchronousTestCase):
    """Options and words of the shell itself."""

    def test_anywhere(self) -> None:
        """Options are understood before, between and after the words."""
        for line in (
            "--json --socket /s boot-sources read",
            "boot-sources --socket=/s read --json",
            "boot-sources read --json --socket /s",
        ):
            invocation = _parse(line)
            self.assertEqual((invocation.is_json, invocation.socket), (True, "/s"))
            self.assertEqual(invocation.question, Question("boot-sources", "read"))

    def test_end_of_options(self) -> None:
        """After -- nothing is an option."""
        self.assertEqual(_parse("rack-controller read -- --json").question.ids, ("--json",))

    def test_maas_is_swallowed(self) -> None:
        """The MAAS command line's first two words change nothing but the form."""
        invocation = _parse("maas admin boot-sources read")
        self.assertEqual(invocation.question, Question("boot-sources", "read"))
        self.assertTrue(invocation.is_maas)

    def test_a_noun_of_maas_alone(self) -> None:
        """MAAS's own noun has its settings; without ``maas PROFILE`` nobody knows it."""
        invocation = _parse("maas admin maas set-config name=n value=")
        self.assertEqual(
            invocation.question, Question("maas", "set-config", (), {"name": "n", "value": ""})
        )
        error = self.assertRaises(WrongUsage, _parse, "maas admin maas get-confg name=n")
        self.assertIn("maas get-config", error.remedy)

    def test_lines_of_maas_that_ask_for_nothing(self) -> None:
        """Logging in and out is a line to say, whatever options stand there."""
        for line in (
            "maas login admin http://localhost:5240/MAAS -",
            "maas login -k --cacerts=ca.pem admin http://localhost:5240/MAAS a:b:c",
            "maas logout admin",
            "maas refresh",
            "maas list",
        ):
            invocation = _parse(line)
            self.assertIsNone(invocation.verb, line)
            self.assertIn(f"maas {line.split()[1]}: ", invocation.note)

    def test_options_of_maas_are_ignored(self) -> None:
        """-k and -d mean nothing at a socket; elsewhere they are unknown."""
        invocation = _parse("maas admin boot-sources read -k --debug")
        self.assertEqual(invocation.question, Question("boot-sources", "read"))
        self.assertRaises(WrongUsage, _parse, "boot-sources read -k")
        self.assertRaises(WrongUsage, _parse, "maas admin boot-sources read --quiet")

    def test_help(self) -> None:
        """Help is asked for with a word or an option, in general or of something."""
        self.assertEqual(_parse("help").topic, ())
        self.assertEqual(_parse("--help").topic, ())
        self.assertEqual(_parse("boot-sources --help").topic, ("boot-sources",))
        self.assertEqual(_parse("help boot-sources create").topic, ("boot-sources", "create"))
        self.assertEqual(_parse("status --help").topic, ("status",))

    def test_what_is_empty(self) -> None:
        """Only options, or nothing: the prompt is wanted."""
        for line in ("", "--json", "--socket /s", "--socket=/s --json"):
            self.assertTrue(is_empty(line.split()), line)
        for line in ("status", "--version", "--help", "--socket /s status"):
            self.assertFalse(is_empty(line.split()), line)


class WrongUsageTests(SynchronousTestCase):
    """What cannot be understood."""

    def test_nearest_right_word(self) -> None:
        """An unknown word gets the nearest right one."""
        cases = {
            "boot-source-list": None,
            "boot-sorces read": "boot-sources",
            "boot-sources reda": "boot-sources read",
            "boot-source create url=x": "boot-sources create",
            "boot-sources create ulr=x": "url",
            "boot-resources import waitt": "wait",
            "boot-sources read --jsn": "--json",
            "help boot-sorces": "boot-sources",
        }
        for line, near in cases.items():
            error = self.assertRaises(WrongUsage, _parse, line)
            if near:
                self.assertIn(f'did you mean "{near}"?', error.remedy, line)

    def test_a_verb_without_its_noun(self) -> None:
        """It is asked for, or explained, with the noun that has it; with all, if they are several."""
        for line, right in {
            "pin 12": 'did you mean "boot-resource pin ID"?',
            "help pin": 'did you mean "boot-resource pin ID"?',
            "pin --help": 'did you mean "boot-resource pin ID"?',
            "rolback 3": 'did you mean "boot-resource rollback ID"?',
            "canary promote": 'did you mean "rack-controllers canary"?',
            "maas admin stop-import": 'did you mean "boot-resources stop-import"?',
            "import-boot-images": "import-boot-images follows rack-controllers, rack-controller",
        }.items():
            error = self.assertRaises(WrongUsage, _parse, line)
            self.assertIn(right, error.remedy, line)
        for verb in BY_NAME.values():
            if verb.verb and verb.verb not in NOUNS:
                error = self.assertRaises(WrongUsage, _parse, verb.verb)
                self.assertIn(verb.noun, error.remedy)

    def test_what_is_missing_is_named(self) -> None:
        """Missing verbs, ids, parameters and values are named."""
        for line, text in {
            "boot-sources": "needs a verb: read, create",
            "boot-source delete": "needs ID",
            "boot-sources create": "needs url=",
            "boot-sources read --socket": "needs a path",
            "maas": "maas needs a profile",
            "maas admin boot-sources": "needs a verb: read, create",
        }.items():
            error = self.assertRaises(WrongUsage, _parse, line)
            self.assertIn(text, error.message)

    def test_wrong_values(self) -> None:
        """A value of the wrong kind names its key."""
        for word in (
            "priority=high",
            "priority=1.5",
            "unsigned=maybe",
            "keyring_data=abc",
            "url=again",
        ):
            error = self.assertRaises(WrongUsage, _parse, f"boot-sources create url=u {word}")
            self.assertEqual(error.object, word.partition("=")[0])

    def test_too_many_words(self) -> None:
        """A word that is neither id nor flag is refused."""
        self.assertRaises(WrongUsage, _parse, "boot-source read 1 2")

    @settings(max_examples=150)
    @given(
        st.lists(
            st.one_of(
                st.sampled_from([verb.noun for verb in VERBS]),
                st.sampled_from([verb.verb for verb in VERBS]),
                st.sampled_from(["--json", "--socket", "--", "wait", "1", "os=a", "x@=k.gpg"]),
                st.text(max_size=8),
            ),
            max_size=6,
        )
    )
    def test_any_line_is_understood_or_refused(self, words: list[str]) -> None:
        """Whatever is typed is a command line or wrong usage, nothing else."""
        try:
            self.assertIsInstance(parse(words, lambda _: b"x"), Invocation)
        except WrongUsage as error:
            self.assertTrue(error.message)
