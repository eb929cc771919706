"""Which selections can be taken, and what is said of the others."""

from twisted.trial.unittest import SynchronousTestCase

from common.errors import WrongUsage
from common.images import Selection
from regiond.sources.selection_rules import explain_unmatched, well_formed
from tests.doubles.catalogues import TODAY, bootloader, offers_of, ubuntu
from tests.doubles.stream_documents import product

OFFERS = offers_of(
    *ubuntu("jammy", "22.04"),
    *ubuntu("noble", "24.04"),
    *ubuntu("noble", "24.04", "arm64"),
    bootloader(),
)


def asked(**changes: object) -> Selection:
    """A selection that is all right but for the changes."""
    return Selection(**{"os": "ubuntu", "release": "jammy", **changes})


# What is typed -> what is said of it.
MALFORMED = {
    "empty os": (asked(os=""), "os: a word is empty"),
    "empty release": (asked(release=""), "release: a word is empty"),
    "empty element": (asked(arches=("amd64", "", "arm64")), "arches: a word is empty"),
    "blank": (asked(release=" "), "release: ' ' has ' ', which no name has"),
    "blank within": (asked(os="ubuntu core"), "os: 'ubuntu core' has ' ', which no name has"),
    "slash": (asked(release="ubuntu/jammy"), "release: 'ubuntu/jammy' has '/', which no name has"),
    "backslash": (asked(arches=("amd\\64",)), "arches: 'amd\\\\64' has '\\\\', which no name has"),
    "NUL": (asked(release="jam\0my"), "release: 'jam\\x00my' has '\\x00', which no name has"),
    "control character": (asked(labels=("a\nb",)), "labels: 'a\\nb' has '\\n', which no name has"),
    "non-ASCII": (asked(os="ubüntu"), "os: 'ub\\xfcntu' has '\\xfc', which no name has"),
    "parent": (asked(release=".."), "release: '..' can be no name"),
    "option": (asked(os="-rf"), "os: '-rf' can be no name"),
    "too long": (
        asked(release="j" * 10_000),
        f"release: '{'j' * 59}... is longer than 255 characters",
    ),
    "open bracket": (asked(release="["), "release: '[' has a '[' without its ']'"),
    "empty brackets": (asked(release="j[]"), "release: 'j[]' has a '[' without its ']'"),
    "closed bracket": (asked(release="j]"), "release: 'j]' has a ']' without its '['"),
    "only exclamation marks": (
        asked(arches=("!!!",)),
        "arches: '!!!' has a '!', which is only for [!abc]",
    ),
    "excluded": (asked(arches=("!arm64",)), "arches: '!arm64' has a '!', which is only for [!abc]"),
    "braces": (asked(release="{a}"), "release: '{a}' has '{', which no name has"),
}
UNMATCHED = {
    "os": (asked(os="ubunut"), "no os 'ubunut'; did you mean 'ubuntu'?"),
    "os in another case": (asked(os="Ubuntu"), "no os 'Ubuntu'; did you mean 'ubuntu'?"),
    "release": (asked(release="jamy"), "no release 'jamy'; did you mean 'jammy'?"),
    "release in another case": (
        asked(release="JAMMY"),
        "no release 'JAMMY'; did you mean 'jammy'?",
    ),
    "release by its version": (
        asked(release="24.04"),
        "no release '24.04'; did you mean 'noble'?",
    ),
    "release as a glob": (
        asked(release="*-lts"),
        "no release '*-lts'; did you mean 'latest-lts'?",
    ),
    "release word": (
        asked(release="supp0rted"),
        "no release 'supp0rted'; did you mean 'supported'?",
    ),
    "release far off": (asked(release="zzz"), "no release 'zzz'; offered: jammy, noble"),
    "arch": (asked(arches=("amd46",)), "no arch 'amd46'; did you mean 'amd64'?"),
    "arch that is none": (asked(arches=("x86",)), "no arch 'x86'; offered: amd64"),
    "arch by its prefix": (
        asked(release="noble", arches=("arm",)),
        "no arch 'arm'; did you mean 'arm64'?",
    ),
    "arch of another release": (
        asked(arches=("arm64",)),
        "no arch 'arm64' there; it is offered for ubuntu/noble",
    ),
    "arch beside a good one": (
        asked(arches=("amd64", "amd46")),
        "no arch 'amd46'; did you mean 'amd64'?",
    ),
    "arch beside a star": (asked(arches=("*", "s390x")), "no arch 's390x'; offered: amd64"),
    "glob beside a good name": (asked(arches=("amd64", "s*")), "no arch 's*'; offered: amd64"),
    "no arch": (asked(arches=()), "the list of arch names is empty, which means nothing"),
    "subarch": (asked(subarches=("ga-22.4",)), "no subarch 'ga-22.4'; did you mean 'ga-22.04'?"),
    "subarch beside a good one": (
        asked(subarches=("ga-22.04", "hwe-22.40")),
        "no subarch 'hwe-22.40'; did you mean 'hwe-22.04'?",
    ),
    "subarch of another release": (
        asked(subarches=("hwe-24.04",)),
        "no subarch 'hwe-24.04' there; it is offered for ubuntu/noble",
    ),
    "flavour as a subarch": (
        asked(subarches=("lowlatency",)),
        "no subarch 'lowlatency': that is a flavour; its kernels: ga-22.04-lowlatency",
    ),
    "label": (asked(labels=("stabel",)), "no label 'stabel'; did you mean 'stable'?"),
    "label beside a good one": (
        asked(labels=("stable", "candidate")),
        "no label 'candidate'; offered: stable",
    ),
}


class WellFormedTests(SynchronousTestCase):
    """``well_formed``"""

    def test_malformed(self) -> None:
        """What can never be a name or a glob is refused in one line that quotes it."""
        for case, (selection, said) in MALFORMED.items():
            with self.subTest(case):
                error = self.assertRaises(WrongUsage, well_formed, selection, "boot-source 1")
                self.assertEqual(error.message, said)
                self.assertEqual(error.code, "selection-malformed")
                self.assertEqual(error.object, "boot-source 1")
                self.assertTrue(error.remedy)
                self.assertTrue(error.line().isprintable())
                self.assertLess(len(error.line()), 250)

    def test_good(self) -> None:
        """Names, globs, words for releases and stars stay as they are."""
        for selection in (
            asked(),
            asked(os="*", release="[jn]*", arches=("amd64", "ar?64"), labels=("[!d]*",)),
            asked(release="latest-lts", subarches=("hwe-22.04-lowlatency", "nvidia-ga-22.04")),
            asked(release="8", os="centos"),
            asked(release="16-pc", os="ubuntu-core"),
            asked(os="x" * 255),
        ):
            self.assertEqual(well_formed(selection, "it"), selection)

    def test_twice(self) -> None:
        """What is said twice is kept once, in the order of the first."""
        twice = asked(arches=("b", "a", "b"), subarches=("*", "*"), labels=("x", "y", "x", "y"))
        self.assertEqual(
            well_formed(twice, "it"),
            asked(arches=("b", "a"), subarches=("*",), labels=("x", "y")),
        )


class ExplainUnmatchedTests(SynchronousTestCase):
    """``explain_unmatched``"""

    def test_matched(self) -> None:
        """A selection all of whose words lead somewhere needs no explanation."""
        for selection in (
            asked(),
            asked(release="latest-lts"),
            asked(release="supported"),
            asked(release="*", arches=("amd64", "arm64", "a*")),
            asked(subarches=("generic", "ga-18.04", "ga-22.04-lowlatency", "hwe-*")),
            asked(labels=("*", "st*")),
        ):
            self.assertIsNone(explain_unmatched(selection, OFFERS, TODAY), selection)

    def test_unmatched(self) -> None:
        """The first word that leads nowhere is named with the nearest right one."""
        for case, (selection, said) in UNMATCHED.items():
            with self.subTest(case):
                self.assertEqual(explain_unmatched(selection, OFFERS, TODAY), said)

    def test_words_for_releases(self) -> None:
        """Where they mean nothing, it is said why."""
        offers = offers_of(product(release_title="22.04", support_eol="2020-01-01"))
        self.assertEqual(
            explain_unmatched(asked(release="latest-lts"), offers, TODAY),
            "no release of ubuntu is an LTS; offered: jammy",
        )
        self.assertEqual(
            explain_unmatched(asked(release="supported"), offers, TODAY),
            "the support of every release of ubuntu has ended",
        )

    def test_nothing_offered(self) -> None:
        """A source without images says so."""
        for offers in ((), offers_of(bootloader())):
            explained = explain_unmatched(asked(), offers, TODAY)
            self.assertEqual(explained, "the source offers no images")

    def test_a_long_list(self) -> None:
        """Of many names some are shown."""
        releases = [product(release=f"r{n}x", name=f"a:v3:{n}") for n in range(20)]
        said = explain_unmatched(asked(release="qqq"), offers_of(*releases), TODAY)
        assert said is not None
        self.assertTrue(said.endswith(", ..."))
        self.assertLess(len(said), 100)
