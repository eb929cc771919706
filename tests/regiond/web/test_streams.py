"""A tree of files on the web port, over real HTTP."""

import json
from collections.abc import Mapping

from twisted.internet.defer import Deferred

from common.errors import NotFound, StorageError
from common.serving import ByteSource, WholeBytes
from regiond.settings_table import all_values
from regiond.web.streams import Find
from tests.doubles.web_trees import WebTreeCase


class TreeTests(WebTreeCase):
    def trees(self) -> Mapping[str, Find]:
        self.asked: list[str] = []
        return {"tree": self.find}

    async def find(self, path: str) -> ByteSource:
        self.asked.append(path)
        if path == "broken":
            raise StorageError("the disk is gone")
        if path.startswith("none"):
            raise NotFound("no such file", object=path)
        return WholeBytes('"tag"', path.encode())

    async def test_what_is_below_the_root_is_asked_for(self) -> None:
        """Unquoted, and never as a name on a disk: the tree alone knows what it means."""
        for path in ("a/b", "a//b", "a/", "", "a%20b"):
            await self.get(f"tree/{path}" if path else "tree")
        self.assertEqual(self.asked, ["a/b", "a//b", "a/", "", "a b"])

    async def test_readers_ask_each_time(self) -> None:
        """A document keeps its path when it changes: nothing is kept unasked, all has a tag."""
        answer = await self.get("tree/a")
        self.assertEqual(
            (answer.code, answer.headers["cache-control"], answer.headers["etag"]),
            (200, "no-cache", '"tag"'),
        )
        self.assertEqual((await self.get("tree/a", if_none_match='"tag"')).code, 304)

    async def test_failures_are_answers(self) -> None:
        """As on every port: a status, and an error object."""
        for path, code in (("none", 404), ("broken", 500), ("%ff", 404)):
            answer = await self.get(f"tree/{path}")
            self.assertEqual(answer.code, code, path)
            self.assertIn("message", json.loads(answer.body)["error"])

    async def test_what_goes_out_is_held(self) -> None:
        """By the limit of what goes to racks; all who read have the share of one together."""
        racks = self.throttle_limits.racks
        self.throttle_limits.heed_settings(all_values({"racks_rate_limit": "1 B/s"}))
        reading = [Deferred.fromCoroutine(self.get(f"tree/{name * 999}")) for name in "ab"]
        await self.until(lambda: [len(claims) for claims in racks._groups.values()] == [2])
        self.throttle_limits.heed_settings(all_values({}))
        self.assertEqual([(await each).body for each in reading], [b"a" * 999, b"b" * 999])

    async def test_nothing_can_be_changed(self) -> None:
        """Whatever the method; and the answer says which there are."""
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            answer = await self.get("tree/a", method)
            self.assertEqual((answer.code, answer.headers["allow"]), (405, "GET, HEAD"))
