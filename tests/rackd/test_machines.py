"""Tests of the images port: paths, listings, ranges, and reads that outlive a flip."""

import json
import os
from pathlib import Path

import treq
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.http_headers import Headers

from common.errors import StorageError
from rackd.machines import Machines, MachinesSite
from rackd.records import HeldFile, Record
from tests.doubles.disks import LibraryCase, at_once
from tests.doubles.images import content

NOW_S = 1_795_295_000.0
DIRECTORY = "ubuntu/amd64/ga-22.04/jammy/stable"
PATH = f"{DIRECTORY}/boot-kernel"
LINK = "lpxelinux.0"
BLOB = content(1000)


class ServingTests(LibraryCase):
    """Over HTTP."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = RequestTraversalAgent(Machines(self.library, Clock(), at_once))

    def show(self, blob: bytes, generation: int = 1) -> str:
        """Let ``PATH`` be these bytes; the snapshot's name."""
        file = self.put("boot-kernel", blob)
        held = {PATH: HeldFile(file.sha256, len(blob))}
        record = Record(generation, "ab" * 32, (), held, {LINK: PATH})
        return self.library.publish(record, NOW_S + generation).name

    def ask(self, path: str, method: bytes = b"GET", **headers: str) -> tuple[int, bytes, Headers]:
        fields = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})
        asking = self.agent.request(method, f"http://rack{path}".encode(), fields)
        self.agent.flush()
        response = self.successResultOf(asking)
        reading = treq.content(response)
        self.agent.flush()
        return response.code, self.successResultOf(reading), response.headers

    def test_file(self) -> None:
        """A file comes whole, with its SHA-256 as ETag and no promise that the path is for ever."""
        self.show(BLOB)
        status, body, headers = self.ask(f"/images/{PATH}")
        sha256 = self.library.current.record.files[PATH].sha256  # type: ignore[union-attr]  # just shown
        self.assertEqual((status, body), (200, BLOB))
        self.assertEqual(headers.getRawHeaders("etag"), [f'"{sha256}"'])
        self.assertEqual(headers.getRawHeaders("cache-control"), ["no-cache"])
        self.assertEqual(self.ask(f"/images/{PATH}", if_none_match=f'"{sha256}"')[0], 304)

    def test_links(self) -> None:
        """A link of the root gives its file; it is looked up in the record, never followed."""
        self.show(BLOB)
        self.assertEqual(self.ask(f"/images/{LINK}")[:2], (200, BLOB))
        self.assertIn(LINK.encode(), self.ask("/images/")[1])
        link = self.images_dir / "current" / LINK
        link.unlink()
        link.symlink_to("/etc/passwd")
        self.assertEqual(self.ask(f"/images/{LINK}")[:2], (200, BLOB))

    def test_mirror(self) -> None:
        """Documents and files stand below /mirror/, with their types, ranges and tags."""
        at = "mirror/1/streams/v1/index.sjson"
        held = {}
        for path in (at, "mirror/1/streams/v1/a:b.json", "mirror/1/jammy/squashfs"):
            file = self.put("any", path.encode())
            held[path] = HeldFile(file.sha256, file.size_bytes)
        self.library.publish(Record(1, "ab" * 32, (), held), NOW_S)
        types = []
        for path in held:
            status, body, headers = self.ask(f"/{path}")
            self.assertEqual((status, body), (200, path.encode()))
            self.assertEqual(headers.getRawHeaders("cache-control"), ["no-cache"])
            types += headers.getRawHeaders("content-type", [])
        self.assertEqual(
            types, ["text/plain; charset=utf-8", "application/json", "application/octet-stream"]
        )
        tag = f'"{held[at].sha256}"'
        self.assertEqual(self.ask(f"/{at}", if_none_match=tag)[0], 304)
        self.assertEqual(self.ask(f"/{at}", range="bytes=0-5")[:2], (206, b"mirror"))
        self.assertEqual(self.ask(f"/{at}", b"HEAD")[:2], (200, b""))
        self.assertIn(b"<title>/mirror/1/</title>", self.ask("/mirror/1/")[1])
        location = self.ask("/mirror/1/streams")[2].getRawHeaders("location")
        self.assertEqual(location, ["/mirror/1/streams/"])
        for path in ("/mirror/2/streams/v1/index.sjson", "/mirror/ubuntu", "/mirror/1/x"):
            self.assertEqual(self.ask(path)[0], 404)

    def test_the_mirror_is_always_the_newest(self) -> None:
        """An address that began to boot elsewhere still gets documents and files of one tree."""
        path = "mirror/1/streams/v1/index.sjson"
        for generation, raw in enumerate((b"first", b"second"), 1):
            file = self.put("any", raw)
            held = dict.fromkeys((path, PATH), HeldFile(file.sha256, file.size_bytes))
            self.library.publish(Record(generation, "ab" * 32, (), held), NOW_S + generation)
            self.assertEqual(self.ask(f"/images/{PATH}")[1], b"first")
            self.assertEqual(self.ask(f"/{path}")[1], raw)

    def test_a_mirror_that_changes_under_a_client(self) -> None:
        """Files that the last documents named are still there; other documents never are."""
        for generation, names in enumerate((("a", "a.json"), ("b",), ("c",)), 1):
            file = self.put("any", f"of {generation}".encode())
            held = {
                f"mirror/{source}/{name}": HeldFile(file.sha256, file.size_bytes)
                for source in (1, generation + 1)
                for name in ("index.sjson", *names)
            }
            self.library.publish(Record(generation, "ab" * 32, (), held), NOW_S + generation)
        for name, bytes_ in (("a", b"of 1"), ("b", b"of 2"), ("index.sjson", b"of 3")):
            self.assertEqual(self.ask(f"/mirror/1/{name}")[:2], (200, bytes_))
        for gone in ("1/a.json", "1/d", "2/a", "3/b", "2/index.sjson", "1/a/"):
            self.assertEqual(self.ask(f"/mirror/{gone}")[0], 404, gone)

    def test_ranges(self) -> None:
        """A range gives exactly its bytes; an impossible one is 416; HEAD gives no body."""
        self.show(BLOB)
        self.assertEqual(self.ask(f"/images/{PATH}", range="bytes=10-19")[:2], (206, BLOB[10:20]))
        self.assertEqual(self.ask(f"/images/{PATH}", range="bytes=1000-")[0], 416)
        status, body, headers = self.ask(f"/images/{PATH}", b"HEAD")
        self.assertEqual((status, body), (200, b""))
        self.assertEqual(headers.getRawHeaders("content-length"), ["1000"])

    def test_directories(self) -> None:
        """Directories are listed; without the slash a browser is sent to it."""
        self.show(BLOB)
        self.assertIn(b"boot-kernel", self.ask(f"/images/{DIRECTORY}/")[1])
        status, _, headers = self.ask("/images/ubuntu/amd64")
        self.assertEqual(status, 302)
        self.assertEqual(headers.getRawHeaders("location"), ["/images/ubuntu/amd64/"])

    def test_refused(self) -> None:
        """What is not in the tree, and what is no clean path, is an error object, not a file."""
        self.show(BLOB)
        (self.images_dir / "current" / "secret").symlink_to("/etc/passwd")
        for path, expected in {
            "/images/secret": 404,
            "/images/.rackferry-view": 404,
            "/images/cache": 404,
            f"/images/{PATH}/x": 404,
            "/": 404,
        }.items():
            status, body, _ = self.ask(path)
            self.assertEqual(status, expected, path)
            self.assertIn("message", json.loads(body)["error"])
        self.assertEqual(self.ask(f"/images/{PATH}", b"POST")[0], 405)

    def test_bodies(self) -> None:
        """What a stranger sends as a body is thrown away: it fills no disk."""
        site = MachinesSite(Machines(self.library, Clock(), at_once), Clock())
        channel = site.buildProtocol(None)
        channel.makeConnection(StringTransport())
        channel.dataReceived(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n")
        channel.dataReceived(b"x" * 1_000_000)
        self.assertEqual(channel.requests[0].content.tell(), 0)
        channel.connectionLost(None)

    def test_before_the_first_snapshot(self) -> None:
        """A rack without images answers."""
        self.assertEqual(self.ask("/images/")[0], 200)
        self.assertEqual(self.ask(f"/images/{PATH}")[0], 404)

    def test_menu_before_the_first_snapshot(self) -> None:
        """A machine that boots from a rack without images is told so, and starts from its disk."""
        status, body, _ = self.ask("/images/boot.ipxe")
        self.assertEqual(status, 200)
        self.assertTrue(body.startswith(b"#!ipxe\n"))
        self.assertIn(b"echo This rack holds no bootable image.", body)
        self.assertNotIn(b"kernel ", body)
        self.assertTrue(body.endswith(b"exit\n"))

    def test_damaged(self) -> None:
        """A blob of a wrong size is never served."""
        self.show(BLOB)
        blob = next(self.library.cache.iterdir())
        blob.chmod(0o644)
        blob.write_bytes(BLOB[:-1])
        status, body, _ = self.ask(f"/images/{PATH}")
        self.assertEqual((status, json.loads(body)["error"]["code"]), (503, "blob-damaged"))

    def test_not_before_it_may(self) -> None:
        """A file that is to be verified first is served when it was, and not if it is wrong."""
        self.show(BLOB)
        verified: Deferred[None] = Deferred()

        async def before_serving(file: HeldFile) -> None:
            self.assertEqual(file.size_bytes, len(BLOB))
            await verified

        machines = Machines(self.library, Clock(), at_once, before_serving=before_serving)
        self.agent = RequestTraversalAgent(machines)
        asking = self.agent.request(b"GET", f"http://rack/images/{PATH}".encode())
        self.agent.flush()
        self.assertNoResult(asking)
        verified.callback(None)
        self.agent.flush()
        self.assertEqual(self.successResultOf(asking).code, 200)
        verified = Deferred()
        next(self.library.cache.iterdir()).unlink()
        verified.errback(StorageError("has other bytes", code="blob-damaged"))
        status, body, _ = self.ask(f"/images/{PATH}")
        self.assertEqual(status, 503)
        self.assertIn("has other bytes", json.loads(body)["error"]["message"])

    def test_damage_is_told_once_and_not_held(self) -> None:
        """A blob that is gone or cut counts as not held, so that the next sync gets it again."""

        def cut(blob: Path) -> None:
            blob.chmod(0o644)
            os.truncate(blob, 7)

        told: list[StorageError] = []
        machines = Machines(self.library, Clock(), at_once, told.append)
        self.agent = RequestTraversalAgent(machines)
        for generation, damage in enumerate((Path.unlink, cut), 1):
            self.show(BLOB, generation)
            blob = next(self.library.cache.iterdir())
            self.assertEqual(self.ask(f"/images/{PATH}")[0], 200)
            self.assertEqual(self.library.held_view, "ab" * 32)
            damage(blob)
            for _ in range(2):
                self.assertEqual(self.ask(f"/images/{PATH}")[0], 503)
            self.assertEqual(self.library.held_view, "")
            self.assertEqual(len(told), generation)
