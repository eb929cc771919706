"""Boot sources of which a part cannot be used: odd items, and bytes that were not signed."""

import json

from common.digests import sha256_hex
from tests.doubles.stream_documents import UPDATED
from tests.integration.bad_input import (
    BadInputCase,
    one_file,
    rack_context,
    request,
)

DAY_S = 86400
BYTES = b"kernel of a faulty source"

ODD_PATHS = (
    "../../etc/passwd",
    "a/../../etc/passwd",
    "a/./b",
    "a/...",
    "/etc/passwd",
    "//host/x",
    "http://127.0.0.1/x",
    "file:///etc/passwd",
    "a//b",
    "a/",
    "a b",
    "a\\b",
    "a%2e%2e/b",
    "a\nb",
    "-rf",
    ".data/x",
    "streams/v1/index.sjson",
    "",
    "x" * 2000,
)
ODD_ITEMS: dict[str, tuple[dict[str, object], str]] = {
    "no-sha256": ({"sha256": None}, "no sha256"),
    "short-sha256": ({"sha256": "ab"}, "64 hexadecimal"),
    "number-sha256": ({"sha256": 5}, "64 hexadecimal"),
    "no-size": ({"size": None}, "whole number"),
    "text-size": ({"size": "17"}, "whole number"),
    "negative-size": ({"size": -1}, "whole number"),
    "true-size": ({"size": True}, "whole number"),
    "fraction-size": ({"size": 1.5}, "whole number"),
    "huge-size": ({"size": 1 << 60}, "GiB"),
    "number-path": ({"path": 5}, "path"),
}


class ItemTests(BadInputCase):
    """Sources of which a part cannot be used."""

    async def test_odd_items_are_left_out_by_name_and_the_rest_is_imported(self) -> None:
        """Each product with a bad path, size or digest is named; a sound one is published."""
        source = await self.serving()
        paths = {f"path-{number}": path for number, path in enumerate(ODD_PATHS)}
        bad = [one_file(name, BYTES, path=path) for name, path in paths.items()]
        bad += [one_file(name, BYTES, **wrong) for name, (wrong, _) in ODD_ITEMS.items()]
        twins = [
            one_file("twin-1", b"one", path="files/same"),
            one_file("twin-2", b"two", path="files/same"),
        ]
        source.place("odd", *bad, *twins, one_file("whole", BYTES), contents=[BYTES])
        number = await self.create_source(f"{self.base}odd", wants="*")

        skipped = (await self.ask(f"boot-source check {number}"))["skipped"]
        for name, path in paths.items():
            line = self.line_of(skipped, f"demo:{name} ")
            self.assertIn("is not allowed", line)
            self.assertIn(ascii(path)[1:40], line)
        for name, (_, reason) in ODD_ITEMS.items():
            self.assertIn(reason, self.line_of(skipped, f"demo:{name} "))
        for twin in twins:
            line = self.line_of(skipped, f"demo:{twin['release']} ")
            self.assertIn("files/same is also said to have another size or sha256", line)
        self.assertEqual(len(skipped), len(bad) + len(twins))

        await self.ask("boot-resources import wait")
        event = await self.event("products-skipped", f"boot-source {number}")
        self.assertIn(f"{len(skipped)} products", event["cause"])
        self.assertIn("demo:path-0", event["cause"])
        names = [each["name"] for each in await self.ask("boot-resources read")]
        self.assertIn("demo/whole", names)
        self.assertFalse([name for name in names if "path-" in name or "twin" in name])
        await self.assert_unharmed()

        source.place("odd", one_file("whole", BYTES), updated=UPDATED + DAY_S)
        await self.ask("boot-resources import wait")
        events = await self.ask("events read level=warning")
        self.assertEqual([each for each in events if each["code"] == "products-skipped"], [])

    def line_of(self, lines: list[str], start: str) -> str:
        found = [line for line in lines if line.startswith(start)]
        self.assertEqual(len(found), 1, (start, lines))
        return found[0]

    async def test_other_bytes_than_signed_cost_their_image_only(self) -> None:
        """A file of another size or sha256, or none, fails its image; the old version stays."""
        source = await self.serving()
        old, new = b"the old version, which is good", b"the new version, as it was signed"
        names = {"longer": 1, "shorter": 2, "other": 3, "gone": 4}
        olds = {name: old + bytes([byte]) for name, byte in names.items()}
        news = {name: new + bytes([byte]) for name, byte in names.items()}
        before = [one_file(name, olds[name]) for name in names]
        source.place("bytes", *before, contents=olds.values())
        await self.create_source(f"{self.base}bytes", wants="*")
        await self.ask("boot-resources import wait")

        after = [one_file(name, news[name], version="2") for name in names]
        source.place("bytes", *after, one_file("fine", BYTES), updated=UPDATED + DAY_S)
        source.put("bytes", f"files/{sha256_hex(BYTES)}", BYTES)
        served = {"longer": b"x", "shorter": b"", "other": b""}
        for name, more in served.items():
            content = news[name] + more
            content = content[:-5] if name == "shorter" else content
            content = content.swapcase() if name == "other" else content
            source.put("bytes", f"files/{sha256_hex(news[name])}", content)
        error = await self.refused("boot-resources import wait", "import-incomplete")
        codes = {
            "longer": "transfer-length",
            "shorter": "transfer-length",
            "other": "integrity-sha256",
            "gone": "transfer-http-404",
        }
        for name, code in codes.items():
            key = f"demo/amd64/generic/{name}/stable"
            event = await self.event(code, key)
            self.assertIn(f"{self.base}bytes/files/{sha256_hex(news[name])}", event["cause"])
            self.assertIn(key, error.message)
        published = {
            each["name"]: each["version"]
            for each in await self.ask("boot-resources read")
            if each["state"] == "published"
        }
        self.assertEqual(
            {name: published[f"demo/{name}"] for name in names}, dict.fromkeys(names, "1")
        )
        self.assertEqual(published["demo/fine"], "1")
        for name in names:
            path = f"/blobs/{sha256_hex(olds[name])}"
            reply = request(self.site.ports.images, path, tls=rack_context(self.site))
            self.assertEqual((reply.status, reply.body), (200, olds[name]))
            path = f"/blobs/{sha256_hex(news[name])}"
            reply = request(self.site.ports.images, path, tls=rack_context(self.site))
            self.assertEqual(reply.status, 404, json.loads(reply.body))
        await self.assert_unharmed()
