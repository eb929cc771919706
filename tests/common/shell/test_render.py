"""Answers as text."""

import json
from datetime import UTC

import attrs
from twisted.trial.unittest import SynchronousTestCase

from common.errors import ConfigError
from common.shell.render import Screen, as_json, cell, error_text, for_people
from common.vocabulary import BY_NAME

PLAIN = Screen(zone=UTC)
SOURCES = BY_NAME["boot-sources", "read"]
IMAGES = BY_NAME["boot-resources", "read"]


class TableTests(SynchronousTestCase):
    """Rows."""

    def test_columns_of_the_vocabulary(self) -> None:
        """A table shows the verb's columns in their order, sizes readable and on the right."""
        rows = [
            {"id": 1, "name": "ubuntu/jammy", "size_bytes": 1536, "hidden": "x"},
            {"id": 22, "name": "b", "size_bytes": 5},
        ]
        lines = for_people(IMAGES, rows, PLAIN).splitlines()
        self.assertEqual(lines[0].split()[:3], ["id", "name", "architecture"])
        self.assertEqual(lines[1].split()[0], "1")
        self.assertTrue(lines[1].endswith("1.5 KiB"))
        self.assertTrue(lines[2].endswith("    5 B"))
        self.assertNotIn("hidden", "".join(lines))

    def test_plain_is_never_folded_or_coloured(self) -> None:
        """Without a terminal each row is one line without escape sequences."""
        rows = [{"id": 1, "url": "http://" + "x" * 500}]
        text = for_people(SOURCES, rows, PLAIN)
        self.assertEqual(len(text.splitlines()), 2)
        self.assertNotIn("\x1b", text)

    def test_no_colour_is_wanted(self) -> None:
        """A terminal that is to have no colour gets no escape, but fits all the same."""
        rows = [{"id": 1, "url": "http://" + "x" * 100}]
        text = for_people(SOURCES, rows, Screen(is_terminal=True, is_plain=True, width=60))
        self.assertNotIn("\x1b", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 60)

    def test_a_terminal_is_not_overrun(self) -> None:
        """On a terminal a long value is folded to the width."""
        rows = [{"id": 1, "url": "http://" + "x" * 100}]
        screen = Screen(is_terminal=True, width=60)
        plain = for_people(SOURCES, rows, screen).replace("\x1b[1m", "").replace("\x1b[0m", "")
        self.assertLessEqual(max(map(len, plain.splitlines())), 60)

    def test_long_texts_of_events_stand_below(self) -> None:
        """Too narrow for cause and remedy: they follow their row, whole, on lines of their own."""
        row = {"id": 7, "at": 60.0, "severity": "error", "code": "no-space", "object": "rack r",
               "cause": "cause " * 16, "remedy": "a remedy"}  # fmt: skip
        events = BY_NAME["events", "read"]
        screen = Screen(is_terminal=True, is_plain=True, zone=UTC)
        head, first, *below = for_people(events, [row, {**row, "remedy": ""}], screen).splitlines()
        self.assertEqual(head.split(), ["id", "at", "severity", "code", "object"])
        self.assertEqual(first, "7   01-01 00:01  error     no-space  rack r")
        self.assertEqual(below[1:3], ["    cause cause cause cause", "    -> a remedy"])
        self.assertEqual(below[3], first)
        self.assertEqual(len(below), 6)
        wide = attrs.evolve(screen, width=200)
        self.assertEqual(len(for_people(events, [row], wide).splitlines()), 2)
        self.assertEqual(len(for_people(events, [row], PLAIN).splitlines()), 2)

    def test_data_is_not_for_people(self) -> None:
        """Base64 is counted, not shown."""
        self.assertEqual(cell("keyring_data", "mQE=", PLAIN), "(4 characters)")

    def test_empty_list(self) -> None:
        """Nothing to show is said in words."""
        self.assertEqual(for_people(SOURCES, [], PLAIN), "No boot sources yet.\n")

    def test_foreign_text_steers_no_terminal(self) -> None:
        """Escape sequences and markup in names are shown, not obeyed."""
        rows = [{"id": 1, "url": "\x1b[2Jevil [red]x[/red]"}]
        text = for_people(SOURCES, rows, PLAIN)
        self.assertNotIn("\x1b", text)
        self.assertIn("[red]x[/red]", text)
        self.assertNotIn("\x1b", error_text(ConfigError("\x1b[2J"), is_json=False))


class RecordTests(SynchronousTestCase):
    """Objects."""

    def test_fields_then_sections(self) -> None:
        """An object is its plain fields, then what is nested, indented."""
        text = for_people(
            BY_NAME["boot-resource", "read"],
            {"pieces": [{"name": "r1", "held_bytes": 1024}], "import": {"state": "idle"}, "x": 1},
            PLAIN,
        )
        self.assertEqual(
            text.splitlines(),
            ["x  1", "", "pieces", "  name   held", "  r1    1 KiB", "", "import", "  state  idle"],
        )

    def test_two_of_one_name(self) -> None:
        """How many and how large are told apart."""
        export = BY_NAME["boot-resources", "export"]
        text = for_people(export, {"elsewhere": 3, "elsewhere_bytes": 2048}, Screen())
        self.assertEqual(text, "elsewhere       3\nelsewhere size  2 KiB\n")

    def test_tables_within(self) -> None:
        """A table inside an object has the columns that the vocabulary gives it."""
        files = [{"size_bytes": 5, "ftype": "squashfs", "name": "root", "source": 1}]
        lines = for_people(BY_NAME["boot-resource", "read"], {"files": files}, PLAIN).splitlines()
        self.assertEqual(lines[1].split()[:3], ["name", "ftype", "size"])
        self.assertNotIn("source", lines[1])

    def test_cells(self) -> None:
        """Nothing is a dash, claims are yes or no, times are local, lists are commas."""
        self.assertEqual(cell("x", None, PLAIN), "-")
        self.assertEqual(cell("x", [], PLAIN), "-")
        self.assertEqual(cell("x", True, PLAIN), "yes")
        self.assertEqual(cell("x", 0, PLAIN), "0")
        self.assertEqual(cell("at", 0.0, PLAIN), "1970-01-01 00:00:00")
        self.assertEqual(cell("published_at", 0, PLAIN), "1970-01-01 00:00:00")
        self.assertEqual(cell("work_s", 0.98157, PLAIN), "0.98")
        self.assertEqual(cell("arches", ["a", "b"], PLAIN), "a, b")

    def test_boolean(self) -> None:
        """A yes-or-no answer is one word."""
        verb = BY_NAME["boot-resources", "is-importing"]
        self.assertEqual(for_people(verb, answer=True, screen=PLAIN), "true\n")
        self.assertEqual(for_people(verb, answer=False, screen=PLAIN), "false\n")


class FormTests(SynchronousTestCase):
    """JSON, errors, progress."""

    def test_json_is_the_answer(self) -> None:
        """JSON has no envelope."""
        answer = [{"id": 1, "name": "é"}]
        self.assertEqual(json.loads(as_json(answer)), answer)

    def test_errors(self) -> None:
        """An error is one line for people and an object for programs."""
        error = ConfigError("is locked", object="/db", code="locked", remedy="stop the other")
        self.assertEqual(
            error_text(error, is_json=False), "rackferry: /db: is locked (stop the other)\n"
        )
        self.assertEqual(
            json.loads(error_text(error, is_json=True)),
            {
                "error": {
                    "code": "locked",
                    "object": "/db",
                    "message": "is locked",
                    "remedy": "stop the other",
                }
            },
        )
