"""Odd requests to the HTTP ports of both daemons: each gets its answer, and no byte too many."""

import json
import ssl
from typing import Any

from common.digests import sha256_hex
from tests.integration.bad_input import (
    GOOD_BYTES,
    GOOD_SHA256,
    BadInputCase,
    change_database,
    one_file,
    rack_context,
    request,
)

SIZE = len(GOOD_BYTES)
MALFORMED = (
    "",
    " ",
    "bytes",
    "bytes=",
    "bytes=-",
    "bytes=--1",
    "bytes=1",
    "bytes=a-b",
    "bytes=0x1-0x2",
    "bytes=5-4",
    "bytes=1.0-2",
    "bytes=-1-2",
    "bytes=1-2-3",
    "bytes=1 -2",
    "bytes:0-1",
    "byte=0-1",
    "Bytes=0-1",
    "items=0-1",
    "0-1",
    "bytes=0-1;q=1",
    "bytes=" + "9" * 20 + "-",
    "bytes=\u00b2-\u00b3",
    "x" * 4000,
)
UNSATISFIABLE = (f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=9999999999-", "bytes=-0")
SEVERAL = ("bytes=0-1,3-4", "bytes=0-0, -1", "bytes=0-1,", "bytes=5-4,0-1")
SATISFIABLE = {
    "bytes=0-0": (0, 1),
    "bytes=1-99": (1, 100),
    f"bytes={SIZE - 1}-": (SIZE - 1, SIZE),
    "bytes=-5": (SIZE - 5, SIZE),
    f"bytes=-{SIZE * 2}": (0, SIZE),
    f"bytes=7-{SIZE * 9}": (7, SIZE),
    " bytes=3-4 ": (3, 5),
}


class HttpCase(BadInputCase):
    """Requests to one port."""

    def assert_ranges_are_kept(self, port: int, path: str, tls: ssl.SSLContext | None) -> None:
        def ask(value: str) -> Any:
            return request(port, path, headers={"Range": value}, tls=tls)

        for value in MALFORMED:
            self.assert_refused(ask(value), 416, "range-malformed", value)
        for value in UNSATISFIABLE:
            self.assert_refused(ask(value), 416, "range-unsatisfiable", value)
        for value in SEVERAL:
            reply = ask(value)
            self.assertEqual((reply.status, sha256_hex(reply.body)), (200, GOOD_SHA256), value)
        for value, (first, stop) in SATISFIABLE.items():
            reply = ask(value)
            self.assertEqual((reply.status, reply.body), (206, GOOD_BYTES[first:stop]), value)
            found = reply.headers["content-range"]
            self.assertEqual(found, f"bytes {first}-{stop - 1}/{SIZE}", value)

    def assert_refused(self, reply: Any, status: int, code: str, shown: object) -> None:
        self.assertEqual(reply.status, status, shown)
        error = json.loads(reply.body)["error"]
        self.assertEqual(error["code"], code, shown)
        self.assertNotIn("\n", error["message"])
        self.assertLess(len(reply.body), 1000, shown)
        if status == 416:
            self.assertEqual(reply.headers["content-range"], f"bytes */{SIZE}", shown)


class RegionImagesTests(HttpCase):
    """The region's images port, with a rack's certificate."""

    def setUp(self) -> None:
        super().setUp()
        self.port = self.site.ports.images
        self.tls = rack_context(self.site)

    async def test_every_form_of_range(self) -> None:
        """Malformed and unsatisfiable: 416 with the size; several: the whole; else exact."""
        self.assert_ranges_are_kept(self.port, f"/blobs/{GOOD_SHA256}", self.tls)
        await self.assert_unharmed()

    async def test_blobs_outside_the_view_do_not_exist(self) -> None:
        """Blobs that the region holds are as unknown as none, unless the rack's view has them."""
        source = await self.serving()
        half = one_file("half", b"the half that came")
        missing = one_file("half", b"the half that did not")["versions"]["1"]["items"]
        half["versions"]["1"]["items"]["boot-initrd"] = missing["boot-kernel"] | {
            "ftype": "boot-initrd"
        }
        source.place(
            "view", half, one_file("left", b"left"), contents=[b"the half that came", b"left"]
        )
        await self.create_source(f"{self.base}view", wants="*")
        await self.refused("boot-resources import wait", "transfer-http-404")
        self.assertEqual(self.status_of(b"left"), 200)
        rows = await self.ask("boot-resources read")
        (number,) = [each["id"] for each in rows if each["name"] == "demo/left"]
        await self.ask(f"boot-resource delete {number}")
        change_database(
            self.site,  # as if the two hours of grace were over
            "UPDATE image SET retired_at = retired_at - 7300 WHERE state = 'retired'",
        )
        self.assertEqual(self.held(b"the half that came", b"left"), 2)
        for content in (b"the half that came", b"left", b"never seen"):
            name = sha256_hex(content)
            for path in (f"/blobs/{name}", f"/blobs/{name}/digests"):
                reply = request(self.port, path, tls=self.tls)
                self.assert_refused(reply, 404, "blob-unknown", path)
                self.assertEqual(json.loads(reply.body)["error"]["object"], name)
        await self.assert_unharmed()

    def status_of(self, content: bytes) -> int:
        return request(self.port, f"/blobs/{sha256_hex(content)}", tls=self.tls).status

    def held(self, *contents: bytes) -> int:
        """How many of them are complete in the region's database."""
        names = ", ".join(f"'{sha256_hex(content)}'" for content in contents)
        query = f"SELECT count(*) FROM blob WHERE state = 'complete' AND sha256 IN ({names})"
        ((count,),) = change_database(self.site, query)
        return int(count)

    async def test_odd_paths_and_methods(self) -> None:
        """What is not exactly a blob's path is refused by name; only GET and HEAD are known."""
        good = f"/blobs/{GOOD_SHA256}"
        for path in (
            "/",
            "/blobs/",
            "/blobs/..",
            "/blobs/../../etc/passwd",
            "/blobs/%2e%2e/%2e%2e/etc/passwd",
            f"{good}/",
            f"{good}?x=1",
            f"/blobs/{GOOD_SHA256.upper()}",
            f"/{good}",
            f"http://127.0.0.1{good}",
            "/blobs/" + "0" * 5000,
        ):
            reply = request(self.port, path, tls=self.tls)
            self.assert_refused(reply, 400, "http-path", path)
        reply = request(self.port, good, method="POST", tls=self.tls)
        self.assertEqual((reply.status, reply.headers["allow"]), (405, "GET, HEAD"))
        reply = request(self.port, good, method="HEAD", tls=self.tls)
        self.assertEqual((reply.status, reply.headers["content-length"]), (200, str(SIZE)))
        await self.assert_unharmed()

    async def test_without_a_certificate_nothing_is_said(self) -> None:
        """Whoever shows no certificate of this region's gets a TLS alert and not one byte."""
        context = ssl.create_default_context(cafile=str(self.site.directory / "rack" / "ca.pem"))
        with self.assertRaises(ssl.SSLError) as caught:
            request(self.port, f"/blobs/{GOOD_SHA256}", tls=context)
        self.assertIn("CERTIFICATE_REQUIRED", str(caught.exception))
        await self.assert_unharmed()


class RackMachinesTests(HttpCase):
    """The rack's port for machines."""

    PATH = "/images/demo/amd64/generic/good/stable/good-kernel"

    def setUp(self) -> None:
        super().setUp()
        self.port = self.site.ports.machines

    async def test_every_form_of_range(self) -> None:
        """The same rules as at the region."""
        await self.synced()
        self.assert_ranges_are_kept(self.port, self.path, None)

    @property
    def path(self) -> str:
        (found,) = [name for name in self.site.image_files() if "/good/" in name and "demo" in name]
        return f"/images/{found}"

    async def test_no_path_leads_out_of_the_tree(self) -> None:
        """Paths that climb, double or hide something are refused; what is not there is 404."""
        await self.synced()
        for path in (
            "/images/../../rack/key.pem",
            "/images/%2e%2e/%2e%2e/rack/key.pem",
            "/images//etc/passwd",
            "/images/a%00b",
            "/images/a%0ab",
            "/images/%ff",
            "/images/..",
            "/images/a/./b",
        ):
            reply = request(self.port, path)
            self.assert_refused(reply, 400, "path-malformed", path)
        for path in ("/etc/passwd", "/images/none", f"{self.path}/more", "/cache/" + GOOD_SHA256):
            self.assert_refused(request(self.port, path), 404, "not-found", path)
        reply = request(self.port, self.path)
        self.assertEqual((reply.status, sha256_hex(reply.body)), (200, GOOD_SHA256))


class RegionWebTests(HttpCase):
    """The region's plain port."""

    def test_unknown_pages(self) -> None:
        """What is no page of it is a short 404, and its health stays good."""
        for path in ("/blobs/" + GOOD_SHA256, "/health", "/../etc/passwd", "/%00"):
            reply = request(self.site.ports.web, path)
            self.assertEqual(reply.status, 404, path)
            self.assertLess(len(reply.body), 1500, path)
        self.assertEqual(request(self.site.ports.web, "/healthz").status, 200)
