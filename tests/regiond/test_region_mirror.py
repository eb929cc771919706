"""The region as a mirror of its sources, over real HTTP."""

import hashlib

from regiond.store import generations
from regiond.store.images import GRACE_S
from tests.doubles.importing import DOCUMENTS, FIRST, SECOND, path_of
from tests.doubles.stream_documents import INDEX_PATH
from tests.doubles.web_trees import WebTreeCase

ROOT = path_of("jammy", "squashfs")


class MirrorTests(WebTreeCase):
    async def imported(self, content: bytes = b"root") -> None:
        await self.jammy(content)
        await self.succeed()

    async def test_documents_are_upstreams_byte_for_byte_and_files_stand_at_its_paths(self) -> None:
        """So whoever trusts the source's keyring can take the region for the source."""
        await self.imported()
        for path in (*DOCUMENTS, ROOT):
            answer = await self.get(f"mirror/1/{path}")
            sha256 = hashlib.sha256(self.source.files[path]).hexdigest()
            self.assertEqual((answer.code, answer.body), (200, self.source.files[path]))
            self.assertEqual(answer.headers["etag"], f'"{sha256}"')
            self.assertEqual(answer.headers["cache-control"], "no-cache")

    async def test_no_source_is_asked(self) -> None:
        """A region whose source is down goes on as a mirror of it."""
        await self.imported()
        await self.source.stop()
        self.heal()
        self.assertEqual((await self.get(f"mirror/1/{ROOT}")).body, b"root")
        self.assertEqual((await self.get(f"mirror/1/{INDEX_PATH}")).code, 200)
        self.assertEqual(sum(self.source.requests.values()), 0)

    async def test_what_was_not_changed_costs_no_byte(self) -> None:
        """A tag that is still right is answered with 304, without reading a chunk."""
        await self.imported()
        tag = (await self.get(f"mirror/1/{INDEX_PATH}", "HEAD")).headers["etag"]
        answer = await self.get(f"mirror/1/{INDEX_PATH}", if_none_match=tag)
        self.assertEqual((answer.code, answer.body), (304, b""))
        self.assertEqual(self.cache.loads, 0)

    async def test_parts(self) -> None:
        """Range and HEAD work, as everywhere; other methods do not."""
        await self.imported(bytes(range(200)))
        part = await self.get(f"mirror/1/{ROOT}", range="bytes=100-")
        self.assertEqual((part.code, part.body), (206, bytes(range(100, 200))))
        self.assertEqual(part.headers["content-range"], "bytes 100-199/200")
        self.assertEqual((await self.get(f"mirror/1/{ROOT}", range="bytes=500-")).code, 416)
        head = await self.get(f"mirror/1/{ROOT}", "HEAD")
        self.assertEqual((head.headers["content-length"], head.body), ("200", b""))
        self.assertEqual((await self.get(f"mirror/1/{ROOT}", "POST")).code, 405)

    async def test_what_is_not_shown_is_not_there(self) -> None:
        """Neither before the first import has ended, nor elsewhere, nor outside."""
        await self.jammy()
        self.assertEqual((await self.get(f"mirror/1/{INDEX_PATH}")).code, 404)
        await self.succeed()
        paths = ("", "1", "1/", "2/" + ROOT, "1/streams/v1/", "1/../1/" + ROOT, "1//" + ROOT)
        for path in (
            *paths,
            f"x/{ROOT}",
            f"1/{ROOT}/",
            "1/%2e%2e/x",
            "1/%ff",
            "9999999999999999999/a",
        ):
            with self.subTest(path=path):
                self.assertEqual((await self.get(f"mirror/{path}")).code, 404)

    async def test_who_began_with_the_older_documents_can_end_with_them(self) -> None:
        """Replaced files stay under their paths for the grace time; the documents are new."""
        await self.imported()
        self.publish(self.product("jammy", {SECOND: {"squashfs": b"newer"}}))
        await self.succeed()
        newer = path_of("jammy", "squashfs", SECOND)
        self.assertEqual(
            (await self.get(f"mirror/1/{INDEX_PATH}")).body, self.source.files[INDEX_PATH]
        )
        self.assertEqual((await self.get(f"mirror/1/{newer}")).body, b"newer")
        self.time += GRACE_S - 1
        self.assertEqual((await self.get(f"mirror/1/{ROOT}")).body, b"root")
        self.time += 1
        self.assertEqual((await self.get(f"mirror/1/{ROOT}")).code, 404)

    async def test_nothing_is_shown_of_a_deleted_source(self) -> None:
        """From that moment on, files included."""
        await self.imported()
        await self.boot_sources.delete(1)
        for path in (*DOCUMENTS, ROOT):
            self.assertEqual((await self.get(f"mirror/1/{path}")).code, 404)

    async def test_where_two_claim_a_path_the_published_one_has_it(self) -> None:
        """A source that put other bytes under an old path: the documents mean the new ones."""
        await self.imported()
        self.publish(self.product("jammy", {FIRST: {"squashfs": b"again"}}))
        await self.succeed()
        self.assertEqual((await self.get(f"mirror/1/{ROOT}")).body, b"again")
        number, _ = await self.database.read(generations.current_generation)
        self.assertGreater(number, 1)
