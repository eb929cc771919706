"""What may be typed next, with a daemon that is a table."""

import shlex
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.shell.completion import World, complete
from common.shell.grammar import parse
from common.shell.live_values import kind_of_id
from common.shell.wrong_words import key_text
from common.vocabulary import VERBS, Kind, Question

ROWS: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("boot-sources", "read"): [{"id": 1, "url": "http://a/"}, {"id": 12, "url": "http://b/"}],
    ("boot-source-selections", "read"): [
        {"id": 7, "os": "ubuntu", "release": "jammy", "arches": ["amd64", "arm64"]}
    ],
    ("boot-resources", "read"): [
        {"id": 3, "name": "ubuntu/jammy", "architecture": "amd64/ga-22.04", "version": "20261121"}
    ],
    ("rack-controllers", "read"): [{"name": "rack-1", "status": "synced"}, {"name": "bad\x1b"}],
    ("events", "read"): [{"code": "no-space", "cause": "full"}] * 2,
    ("config", "list"): [
        {"name": "boot_images_auto_import", "value": True, "default": True, "help": "whether"},
        {"name": "boot_images_versions", "value": 3, "default": 1, "help": "how many"},
    ],
    ("available-images", "read"): [
        {"source": source, "os": os, "release": release, "arch": arch, "subarch": sub}
        | {"label": "stable", "release_title": release.title()}
        for source, os, release, arch, sub in (
            (1, "ubuntu", "jammy", "amd64", "ga-22.04"),
            (1, "ubuntu", "jammy", "arm64", "ga-22.04"),
            (1, "ubuntu", "noble", "amd64", "ga-24.04"),
            (2, "debian", "bookworm", "amd64", "generic"),
        )
    ],
}
FILES = ("/etc/ssl/", "/etc/services")


class CompletionTests(SynchronousTestCase):
    """Words, ids, keys, values."""

    def setUp(self) -> None:
        self.asked: list[tuple[str, Question]] = []

    def rows_at(self, socket: str, question: Question) -> Sequence[dict[str, Any]]:
        self.asked.append((socket, question))
        return ROWS[question.noun, question.verb]

    def completed(self, line: str) -> list[str]:
        *words, word = line.split(" ")
        world = World(self.rows_at, lambda text: (p for p in FILES if p.startswith(text)))
        return [each.text for each in complete(words, word, world)]

    def test_nouns_and_verbs(self) -> None:
        """First come nouns, then the verbs of one; of a noun without verbs come its keys."""
        self.assertIn("boot-sources", self.completed(""))
        self.assertIn("help", self.completed("h"))
        self.assertEqual(self.completed("boot-source-"), ["boot-source-selections",
                                                          "boot-source-selection"])  # fmt: skip
        self.assertEqual(self.completed("boot-sources "), ["read", "create"])
        self.assertEqual(self.completed("boot-sources c"), ["create"])
        self.assertEqual(self.completed("scrub w"), ["wait"])
        self.assertEqual(self.completed("nonsense "), [])
        self.assertEqual(self.completed("nonsense nonsense "), [])

    def test_help(self) -> None:
        """What can be explained is what there is."""
        self.assertEqual(self.completed("help boot-sources "), ["read", "create"])
        self.assertIn("status", self.completed("help s"))
        self.assertEqual(self.completed("help boot-sources read "), [])

    def test_ids(self) -> None:
        """An id is one that the daemon has; the second depends on the first."""
        self.assertEqual(self.completed("boot-source read "), ["1", "12"])
        self.assertEqual(self.completed("boot-source read 12"), ["12"])
        self.assertEqual(self.completed("boot-resource read "), ["3"])
        self.assertEqual(self.completed("config get boot_images_v"), ["boot_images_versions"])
        self.assertEqual(self.completed("boot-source-selection delete "), ["1", "12"])
        self.assertEqual(self.completed("boot-source-selection delete 12 "), ["7"])
        self.assertEqual(self.asked[-1][1].ids, ("12",))

    def test_a_name_that_would_steer_the_terminal(self) -> None:
        """Names with control characters are not offered."""
        self.assertEqual(self.completed("rack-controller read "), ["rack-1"])

    def test_keys_and_flags(self) -> None:
        """After the ids come keys that were not given yet, and flags."""
        self.assertEqual(
            self.completed("boot-sources create u"), ["url=", "unsigned=", "username="]
        )
        self.assertEqual(self.completed("boot-sources create url=x u"), ["unsigned=", "username="])
        self.assertEqual(self.completed("boot-sources create keyring_d"), ["keyring_data@="])
        self.assertEqual(self.completed("boot-resources import "), ["wait", "timeout="])
        self.assertEqual(self.completed("boot-resources import wait w"), [])
        self.assertEqual(self.completed("boot-source update "), ["1", "12"])
        self.assertEqual(self.completed("boot-source update 1 pri"), ["priority="])

    def test_optional_ids(self) -> None:
        """Where an id may be left out, keys and flags stand beside it."""
        found = self.completed("available-images read ")
        self.assertEqual(found[:2], ["1", "12"])
        self.assertTrue({"refresh", "os="} <= set(found))
        self.assertEqual(self.completed("available-images read refresh 1"), [])

    def test_values(self) -> None:
        """Truths, choices, and what the sources offer, narrowed by the rest of the line."""
        self.assertEqual(
            self.completed("boot-source update 1 enabled="), ["enabled=true", "enabled=false"]
        )
        self.assertEqual(self.completed("events read code="), ["code=no-space"])
        self.assertEqual(self.completed("boot-resources read type=u"), ["type=uploaded"])
        line = "boot-source-selections create 1 os="
        self.assertEqual(self.completed(line), ["os=ubuntu"])
        line += "ubuntu release="
        self.assertEqual(self.completed(line + "j"), ["release=jammy"])
        self.assertIn("release=latest-lts", self.completed(line))
        self.assertEqual(self.completed(line + "jammy arches="), ["arches=amd64", "arches=arm64"])
        self.assertEqual(
            self.completed("available-images read os=* release=b"), ["release=bookworm"]
        )

    def test_lists(self) -> None:
        """Of a list the last item is completed, and none twice."""
        line = "boot-source-selections create 1 os=ubuntu release=jammy "
        self.assertEqual(self.completed(line + "arches=amd64,"), ["arches=amd64,arm64"])
        self.assertEqual(self.completed(line + "arches=amd64 arches="), ["arches=arm64"])

    def test_paths_of_images(self) -> None:
        """What a rack is restricted to is completed part by part."""
        line = "rack-controller update rack-1 selections="
        self.assertEqual(self.completed(line + "u"), ["selections=ubuntu"])
        self.assertEqual(
            self.completed(line + "debian,ubuntu/"),
            ["selections=debian,ubuntu/jammy", "selections=debian,ubuntu/noble"],
        )

    def test_settings(self) -> None:
        """The names of settings are keys; their values are those that make sense."""
        self.assertEqual(self.completed("config set boot_images_v"), ["boot_images_versions="])
        self.assertEqual(
            self.completed("config set boot_images_auto_import=t"), ["boot_images_auto_import=true"]
        )
        self.assertEqual(
            self.completed("config set boot_images_versions="),
            ["boot_images_versions=3", "boot_images_versions=1"],
        )

    def test_files(self) -> None:
        """Paths are completed where a path stands."""
        self.assertEqual(self.completed("check-config /etc/se"), ["/etc/services"])
        line = "boot-sources create keyring_"
        self.assertEqual(self.completed(line + "data@=/etc/ss"), ["keyring_data@=/etc/ssl/"])
        self.assertEqual(self.completed(line + "filename=/etc/ss"), ["keyring_filename=/etc/ssl/"])
        self.assertEqual(self.completed("--socket /etc/ss"), ["/etc/ssl/"])
        self.assertEqual(self.completed("--socket=/etc/ss"), ["--socket=/etc/ssl/"])
        found = self.completed("publish-source out boot-k")
        self.assertEqual(found, ["boot-kernel@="])

    def test_options(self) -> None:
        """Options are offered anywhere; the socket that was chosen is the one that is asked."""
        self.assertEqual(self.completed("boot-sources read --j"), ["--json"])
        self.assertEqual(self.completed("--s"), ["--socket="])
        self.completed("--json --socket /s boot-source read ")
        self.completed("--socket=/t boot-source read ")
        self.assertEqual([socket for socket, _ in self.asked], ["/s", "/t"])

    def test_as_maas(self) -> None:
        """Behind ``maas PROFILE`` stand the same words, and MAAS's own."""
        self.assertEqual(self.completed("maas admin boot-sources "), ["read", "create"])
        self.assertEqual(self.completed("maas admin maas g"), ["get-config"])
        self.assertEqual(self.completed("maas "), [])

    def test_a_silent_daemon(self) -> None:
        """Without a daemon the table alone is offered, whatever the line."""
        world = World(lambda *_: (), lambda _: ())
        for verb in VERBS:
            words = [*verb.phrase.split(), *("1" for _ in verb.ids)]
            found = {each.text for each in complete(words, "", world)}
            self.assertTrue(
                {f"{p.name}=" for p in verb.parameters if p.kind not in {Kind.BYTES, Kind.FILE}}
                <= found
            )

    def test_every_kind_of_id_is_known(self) -> None:
        """An id of the table is one that can be completed, but for a new machine's."""
        unknown = {name for verb in VERBS for name in (*verb.ids, *verb.optional_ids)
                   if kind_of_id(verb, name) not in KINDS}  # fmt: skip
        self.assertEqual(unknown, {"region", "token"})

    def test_every_kind_of_value_is_known(self) -> None:
        """The kinds that the table names are those that are looked up."""
        named = {p.values for verb in VERBS for p in (*verb.parameters, verb.open_keys) if p}
        self.assertEqual(named - {""} - KINDS, set())

    @settings(max_examples=100)
    @given(st.sampled_from(VERBS), st.data())
    def test_what_is_offered_is_understood(self, verb: Any, data: Any) -> None:
        """Whatever is completed, the grammar knows: no candidate is an unknown word."""
        words = [*verb.phrase.split(), *("1" for _ in verb.ids)]
        world = World(self.rows_at, lambda _: ())
        word = data.draw(st.sampled_from(["", *(f"{p.name}=" for p in verb.parameters)]))
        required = [
            f"{key_text(p)}{next(iter(p.choices), 'x')}" for p in verb.parameters if p.required
        ]
        for each in complete(words, word, world):
            if each.text.endswith("="):
                continue
            given = [
                text
                for text in required
                if text.split("=")[0].rstrip("@") != each.text.split("=")[0]
            ]
            line = [*words, *given, *shlex.split(each.text)]
            self.assertIsNotNone(parse(line, lambda _: b"x").verb, line)


KINDS = {
    *("image", "event", "rack", "setting", "source", "selection", "selected-release", "path"),
    *("os", "release", "arch", "subarch", "label", "image-path"),
}
