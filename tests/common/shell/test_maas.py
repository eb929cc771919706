"""MAAS's answers, made from ours."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from common.shell.maas import Said, printed, talk
from common.vocabulary import Question

SOURCE = {
    "id": 1,
    "url": "http://images.example/daily/",
    "keyring": "/k.gpg",
    "keyring_filename": "/k.gpg",
    "keyring_data": "",
    "priority": 2,
    "enabled": True,
    "unsigned": False,
    "created": 1543947091.894,
    "updated": 1543947608.07,
    "last_success": None,
}
SELECTION = {
    "id": 3,
    "source": 1,
    "os": "ubuntu",
    "release": "trusty",
    "arches": ["amd64"],
    "subarches": ["*"],
    "labels": ["*"],
    "state": "checked",
}
IMAGE = {
    "id": 5,
    "type": "synced",
    "name": "ubuntu/bionic",
    "architecture": "amd64/ga-18.04",
    "subarches": "generic,ga-18.04",
    "label": "daily",
    "version": "20181203",
    "state": "published",
    "size_bytes": 8,
    "complete_bytes": 8,
}
FILE = {
    "name": "boot-kernel",
    "ftype": "boot-kernel",
    "sha256": "0" * 64,
    "size_bytes": 8,
    "digests_sha256": "1" * 64,
    "source": 1,
    "upstream_path": "bionic/boot-kernel",
}
DETAILS = {**IMAGE, "subarches": ["generic", "ga-18.04"], "title": "18.04 LTS", "files": [FILE]}
RACK = {"name": "rack-1", "state": "active", "status": "synced"}


def said(question: Question, answers: dict[tuple[str, str, tuple[str, ...]], Any]) -> Said:
    """What is printed when the daemon gives these answers."""
    conversation = talk(question)
    try:
        asked = next(conversation)
        while True:
            asked = conversation.send(answers[asked.noun, asked.verb, asked.ids])
    except StopIteration as end:
        found: Said = end.value
        return found


class MaasTests(SynchronousTestCase):
    def answer(self, words: str, *answers: Any, **more: Any) -> Any:
        """The JSON for a line; ``answers`` is ours, ``more`` those to further questions."""
        noun, verb, *ids = words.split()
        further = {tuple(key.split("__")): value for key, value in more.items()}
        known = {
            (key[0].replace("_", "-"), key[1], key[2:]): value for key, value in further.items()
        }
        known[noun, verb, tuple(ids)] = answers[0]
        return json.loads(said(Question(noun, verb, tuple(ids)), known).text)

    def test_boot_sources(self) -> None:
        """A source has MAAS's keys; its times are UTC with milliseconds."""
        expected = {
            "id": 1,
            "url": "http://images.example/daily/",
            "keyring_filename": "/k.gpg",
            "keyring_data": "",
            "priority": 2,
            "enabled": True,
            "skip_keyring_verification": False,
            "created": "2018-12-04T18:11:31.894",
            "updated": "2018-12-04T18:20:08.070",
            "resource_uri": "/MAAS/api/2.0/boot-sources/1/",
        }
        (read,) = self.answer("boot-sources read", [SOURCE], boot_source__read__1=SOURCE)
        self.assertEqual(read, expected)
        created = self.answer("boot-sources create", SOURCE, boot_source__read__1=SOURCE)
        self.assertEqual(created, expected)
        self.assertEqual(self.answer("boot-source read 1", SOURCE), expected)

    def test_keyring_data(self) -> None:
        """A keyring that was given as data comes back in base64, and the path is empty."""
        source = {**SOURCE, "keyring_filename": None, "keyring_data": "mQE="}
        read = self.answer("boot-source read 1", source)
        self.assertEqual((read["keyring_filename"], read["keyring_data"]), ("", "mQE="))

    def test_selections(self) -> None:
        """A selection names its source and its place under it."""
        expected = {
            "os": "ubuntu",
            "release": "trusty",
            "arches": ["amd64"],
            "subarches": ["*"],
            "labels": ["*"],
            "boot_source_id": 1,
            "id": 3,
            "resource_uri": "/MAAS/api/2.0/boot-sources/1/selections/3/",
        }
        self.assertEqual(self.answer("boot-source-selections read 1", [SELECTION]), [expected])
        self.assertEqual(self.answer("boot-source-selections create 1", SELECTION), expected)
        for verb in ("read", "update"):
            answer = self.answer(f"boot-source-selection {verb} 1 3", SELECTION)
            self.assertEqual(answer, expected)

    def test_boot_resources(self) -> None:
        """One resource per name and architecture, whatever versions are there."""
        newer = {**IMAGE, "id": 9, "version": "20190101", "state": "importing"}
        other = {**IMAGE, "id": 6, "name": "pxelinux/pxe", "subarches": ""}
        answer = self.answer("boot-resources read", [other, newer, IMAGE])
        self.assertEqual([each["id"] for each in answer], [6, 5])
        self.assertEqual(
            answer[1],
            {
                "id": 5,
                "type": "Synced",
                "name": "ubuntu/bionic",
                "architecture": "amd64/ga-18.04",
                "resource_uri": "/MAAS/api/2.0/boot-resources/5/",
                "last_deployed": None,
                "subarches": "generic,ga-18.04",
            },
        )

    def test_custom_images(self) -> None:
        """What was made is shown as MAAS shows it: by its one word, with its sets."""
        made = {**IMAGE, "type": "uploaded", "name": "custom/mine", "architecture": "amd64/generic",
                "subarches": [], "label": "uploaded"}  # fmt: skip
        file = {**FILE, "name": "root-tgz", "ftype": "root-tgz", "source": None}
        details = {**made, "title": "Mine", "base_image": "ubuntu/jammy", "files": [file]}
        shown = self.answer(
            "boot-resources create",
            {**made, "message": "published"},
            boot_resource__read__5=details,
            boot_resources__read=[{**made, "subarches": ""}],
        )
        self.assertEqual(
            {key: value for key, value in shown.items() if key != "sets"},
            {"id": 5, "type": "Uploaded", "name": "mine", "architecture": "amd64/generic",
             "resource_uri": "/MAAS/api/2.0/boot-resources/5/", "last_deployed": None,
             "subarches": "", "title": "Mine", "base_image": "ubuntu/jammy"},
        )  # fmt: skip
        self.assertEqual(shown["sets"]["20181203"]["files"]["root-tgz"]["complete"], True)

    def test_sets(self) -> None:
        """Each version is a set with its files; what is not complete says how far it is."""
        newer = {**IMAGE, "id": 9, "version": "20190101", "state": "importing", "complete_bytes": 2}
        answer = self.answer(
            "boot-resource read 5",
            DETAILS,
            boot_resources__read=[IMAGE, newer],
            boot_resource__read__9={**DETAILS, **newer, "subarches": ["generic"]},
        )
        self.assertEqual(answer["title"], "18.04 LTS")
        self.assertEqual(list(answer["sets"]), ["20181203", "20190101"])
        self.assertEqual(
            answer["sets"]["20181203"],
            {
                "version": "20181203",
                "label": "daily",
                "size": 8,
                "complete": True,
                "files": {
                    "boot-kernel": {
                        "filename": "boot-kernel",
                        "filetype": "boot-kernel",
                        "sha256": "0" * 64,
                        "size": 8,
                        "complete": True,
                    }
                },
            },
        )
        self.assertEqual(answer["sets"]["20190101"]["progress"], 25.0)
        self.assertFalse(answer["sets"]["20190101"]["complete"])

    def test_texts(self) -> None:
        """Where MAAS answers with a line of text, so do we."""
        for words, text in {
            "boot-resources import": "Import of boot resources started",
            "boot-resources stop-import": "Import of boot resources is being stopped",
            "rack-controllers import-boot-images": "Import of boot images started on all rack "
            "controllers",
            "rack-controller import-boot-images rack-1": "Import of boot images started on rack-1",
            "boot-source delete 1": "",
            "boot-source-selection delete 1 3": "",
            "boot-resource delete 5": "",
        }.items():
            noun, verb, *ids = words.split()
            question = Question(noun, verb, tuple(ids))
            self.assertEqual(said(question, {(noun, verb, tuple(ids)): {}}).text, text)

    def test_racks(self) -> None:
        """A rack's system_id is its name, and its service runs while it is heard of."""
        (rack,) = self.answer("rack-controllers read", [RACK])
        self.assertEqual((rack["system_id"], rack["hostname"]), ("rack-1", "rack-1"))
        self.assertEqual(rack["service_set"][0]["status"], "running")
        rack = self.answer("rack-controller read rack-1", {**RACK, "status": "unknown"})
        self.assertEqual(rack["service_set"][0]["status"], "dead")

    def test_images_of_a_rack(self) -> None:
        """What scripts wait for: the status; and the kernels of each image."""
        held = [
            {"name": "ubuntu/bionic", "architecture": f"amd64/{kernel}"}
            for kernel in ("hwe-18.04", "ga-18.04")
        ]
        answer = self.answer(
            "rack-controller list-boot-images rack-1",
            held,
            **{"rack_controller__read__rack-1": RACK},
        )
        image = {"name": "ubuntu/bionic", "architecture": "amd64"}
        self.assertEqual(
            answer,
            {
                "images": [{**image, "subarches": ["ga-18.04", "hwe-18.04"]}],
                "connected": True,
                "status": "synced",
            },
        )

    def test_settings(self) -> None:
        """A setting is read as its value and changed with OK; its name is MAAS's."""
        name, row = "boot_images_auto_import", {"value": True}
        read = Question("maas", "get-config", (), {"name": name})
        self.assertEqual(said(read, {("config", "get", (name,)): row}).text, "true")
        change = Question("maas", "set-config", (), {"name": name, "value": "false"})
        talking = talk(change)
        self.assertEqual(next(talking), Question("config", "set", (), {name: "false"}))
        self.assertEqual(said(change, {("config", "set", ()): [row]}).text, "OK")

    def test_a_proxy_is_each_sources_own(self) -> None:
        """What MAAS sets for the whole process is set at every source, and where is said."""
        proxied = {**SOURCE, "id": 2, "proxy": "http://p:8000"}
        known = {
            ("boot-sources", "read", ()): [{**SOURCE, "proxy": None}, proxied],
            ("boot-source", "update", ("1",)): {},
            ("boot-source", "update", ("2",)): {},
        }
        for name, value in (("http_proxy", "http://q:1"), ("enable_http_proxy", "false")):
            change = Question("maas", "set-config", (), {"name": name, "value": value})
            wanted = value if name == "http_proxy" else ""
            talking = talk(change)
            next(talking)
            update = Question("boot-source", "update", ("1",), {"proxy": wanted})
            self.assertEqual(talking.send(known["boot-sources", "read", ()]), update)
            answer = said(change, known)
            self.assertEqual(answer.text, "OK")
            self.assertIn("boot sources 1, 2", answer.note)
        for name, expected in (("http_proxy", '"http://p:8000"'), ("enable_http_proxy", "true")):
            read = Question("maas", "get-config", (), {"name": name})
            self.assertEqual(said(read, known).text, expected)
            self.assertIn(said(read, {("boot-sources", "read", ()): []}).text, {'""', "false"})
        enable = Question("maas", "set-config", (), {"name": "enable_http_proxy", "value": "true"})
        self.assertIn("the proxy that it has", said(enable, {}).note)

    def test_other_words_stay_ours(self) -> None:
        """A word that MAAS does not have answers as it does without ``maas``."""
        self.assertEqual(self.answer("available-images read", [{"os": "x"}]), [{"os": "x"}])
        self.assertIs(self.answer("boot-resources is-importing", False), False)

    def test_one_key_per_line(self) -> None:
        """Scripts that grep and cut find each key on a line of its own, indented by four."""
        text = said(
            Question("rack-controllers", "read"), {("rack-controllers", "read", ()): [RACK]}
        ).text
        self.assertIn('\n        "system_id": "rack-1",\n', text)

    def test_on_a_terminal(self) -> None:
        """People read a word before the JSON; a pipe gets the JSON, or nothing."""
        self.assertEqual(
            printed(Said("true"), is_terminal=True),
            "Success.\nMachine-readable output follows:\ntrue\n",
        )
        self.assertEqual(printed(Said("true"), is_terminal=False), "true\n")
        self.assertEqual(printed(Said(""), is_terminal=False), "")
