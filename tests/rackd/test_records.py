"""Tests of the names of snapshots and of their records."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.errors import ProtocolError
from rackd.records import HeldFile, HeldImage, Record, snapshot_made_at, snapshot_name

NOW_S = 1_795_295_000.0
SHA256 = "ab" * 32


class NameTests(SynchronousTestCase):
    """What a snapshot is called."""

    def test_name(self) -> None:
        """A name says the time in UTC and the generation."""
        self.assertEqual(snapshot_name(NOW_S, 42, ()), "snapshot-20261121-210320-g42")

    def test_taken(self) -> None:
        """A taken name is never given again."""
        first = snapshot_name(NOW_S, 42, ())
        self.assertEqual(snapshot_name(NOW_S, 42, {first}), "snapshot-20261121-210321-g42")

    @given(st.integers(0, 4_000_000_000), st.integers(0, 10**12))
    def test_round_trip(self, now_s: int, generation: int) -> None:
        """The time can be read back from every name."""
        self.assertEqual(snapshot_made_at(snapshot_name(now_s, generation, ())), now_s)

    def test_others(self) -> None:
        """No other name is taken for a snapshot's."""
        for name in (
            "snapshot-20261121-210320",
            "snapshot-20261121-210320-g",
            "snapshot-20261321-210320-g1",
            "snapshot-20261121-210320-g1/x",
            "../snapshot-20261121-210320-g1",
            ".building-snapshot-20261121-210320-g1",
            "current",
        ):
            self.assertIsNone(snapshot_made_at(name), name)


class RecordTests(SynchronousTestCase):
    """What is written inside."""

    def test_round_trip(self) -> None:
        """A record survives its document."""
        record = Record(
            7,
            SHA256,
            (HeldImage("ubuntu/amd64/ga-22.04/jammy/stable", "20261121", 5, "22.04 LTS"),),
            {"ubuntu/amd64/ga-22.04/jammy/stable/boot-kernel": HeldFile(SHA256, 5)},
            {"k": "ubuntu/amd64/ga-22.04/jammy/stable/boot-kernel"},
            (HeldFile("cd" * 32, 7),),
            "ef" * 32,
        )
        self.assertEqual(Record.from_document(record.to_document()), record)
        self.assertEqual(record.shown["k"], HeldFile(SHA256, 5))
        self.assertEqual(record.blobs, {SHA256, "cd" * 32})

    def test_before_there_were_links(self) -> None:
        """A record of an earlier release is read: its tree is served until it is made anew."""
        document = b'{"files":{},"generation":7,"images":[],"view_digest":"' + b"ab" * 32 + b'"}'
        record = Record.from_document(document)
        self.assertEqual((record.links, record.archives, record.recipe), ({}, (), ""))

    def test_mirror(self) -> None:
        """The names of signed documents may hold colons, there and nowhere else."""
        for path, is_path in {
            "mirror/1/streams/v1/com.ubuntu.maas:stable:v3:download.sjson": True,
            "ubuntu/streams/v1/com.ubuntu.maas:stable:v3:download.sjson": False,
            "mirror/1/a:b": False,
        }.items():
            record = Record(1, SHA256, (), {path: HeldFile(SHA256, 5)})
            if is_path:
                self.assertEqual(Record.from_document(record.to_document()), record)
            else:
                self.assertRaises(ProtocolError, Record.from_document, record.to_document())

    def test_odd(self) -> None:
        """A record that names odd paths, digests or sizes is none."""
        for path, sha256, size_bytes in (
            ("../x", SHA256, 1),
            ("/etc/passwd", SHA256, 1),
            ("a//b", SHA256, 1),
            ("a/b", "x", 1),
            ("a/b", SHA256, -1),
        ):
            record = Record(1, SHA256, (), {path: HeldFile(sha256, size_bytes)})
            self.assertRaises(ProtocolError, Record.from_document, record.to_document())
        self.assertRaises(ProtocolError, Record.from_document, b"\xff{")
        files = {"a/b": HeldFile(SHA256, 1), "c": HeldFile(SHA256, 1)}
        for name, path in (("../x", "a/b"), ("x/y", "a/b"), ("x", "/etc/passwd"), ("c", "a/b")):
            record = Record(1, SHA256, (), files, {name: path})
            self.assertRaises(ProtocolError, Record.from_document, record.to_document())
        record = Record(1, SHA256, archives=(HeldFile("../x", 1),))
        self.assertRaises(ProtocolError, Record.from_document, record.to_document())
