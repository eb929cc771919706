"""Boot sources that lie, break off or never end: one region looks at all of them at once."""

import time
from collections.abc import Callable
from typing import Any

import attrs

from tests.doubles.gpg_keys import signed
from tests.doubles.stream_documents import (
    INDEX_PATH,
    STABLE_PATH,
    UPDATED,
    index,
    product_file,
    text,
)
from tests.doubles.stream_source import Fault
from tests.integration.bad_input import BadInputCase, Faulty, one_file
from tests.integration.sources import LOOPBACK, free_ports

DAY_S = 86400
BYTES = b"kernel of a faulty source"
Arrange = Callable[[Faulty, str], None]


@attrs.frozen
class Case:
    """A fault of a whole source.

    ``says`` stands in the message; ``path`` is put after the source's base in its URL.
    """

    code: str
    says: str
    arrange: Arrange
    keys: tuple[str, ...] = ("ed25519",)
    path: str = ""


def fault(**how: Any) -> Arrange:
    """Its index is answered so."""

    def arrange(source: Faulty, name: str) -> None:
        how_here = {
            key: value.replace("SOURCE", f"/{name}") if isinstance(value, str) else value
            for key, value in how.items()
        }
        source.faults[f"{name}/{INDEX_PATH}"] = Fault(**how_here)

    return arrange


def index_of(document: bytes, *keys: str, **how: Any) -> Arrange:
    """Its index is this text, signed."""
    return lambda source, name: source.put(
        name, INDEX_PATH, signed(document, *(keys or ("ed25519",)), **how)
    )


def index_changed(change: Callable[[bytes], bytes]) -> Arrange:
    """Its index was changed after it was signed."""
    return lambda source, name: source.put(
        name, INDEX_PATH, change(signed(text(index()), "ed25519"))
    )


def products_of(document: bytes) -> Arrange:
    """Its product file is this text, signed."""
    return lambda source, name: source.put(name, STABLE_PATH, signed(document, "ed25519"))


def products_changed(change: Callable[[bytes], bytes]) -> Arrange:
    """Its product file was changed after it was signed."""
    return lambda source, name: source.put(
        name, STABLE_PATH, change(source.files[f"{name}/{STABLE_PATH}"])
    )


def unsigned(source: Faulty, name: str) -> None:
    source.put(name, INDEX_PATH, text(index()))


def as_it_is(source: Faulty, name: str) -> None:
    pass


def nested(levels: int) -> bytes:
    """An index around so many arrays."""
    return text(index())[:-2].rstrip() + b',\n"x": ' + b"[" * levels + b"]" * levels + b"}\n"


INDEX, PRODUCTS = text(index()), text(product_file(one_file("x", BYTES)))

CASES = {
    "not-found": Case("source-http-404", "404", fault(status=404)),
    "broken": Case("source-http-500", "500", fault(status=500)),
    "forbidden": Case("source-http-403", "403", fault(status=403)),
    "loop": Case("source-redirect-loop", "redirects", fault(location=f"SOURCE/{INDEX_PATH}")),
    "private": Case(
        "source-redirect-private", "not public", fault(location="http://localhost:9/SOURCE")
    ),
    "worse": Case("source-redirect-scheme", "worse scheme", fault(location="ftp://127.0.0.1/x")),
    "odd": Case("source-redirect", "no address", fault(location="http://[")),
    "endless": Case("source-too-large", "16 MiB", fault(endless=True)),
    "cut": Case("source-cut", "cut off", fault(cut_at=50)),
    "encoded": Case("source-encoding", "gzip", fault(gzip=True)),
    "truncated-index": Case("document-truncated", "too early", index_of(INDEX[:-20])),
    "truncated-products": Case("document-truncated", "too early", products_of(PRODUCTS[:-20])),
    "no-json": Case("document-malformed", "not JSON", index_of(b"<html>\n")),
    "format": Case("document-format", "index:9.9", index_of(text(index(format="index:9.9")))),
    "products-format": Case(
        "document-format", "products:9.9", products_of(text(product_file(format="products:9.9")))
    ),
    "nested": Case("document-nesting", "deeper than 32", index_of(nested(40))),
    "nested-far": Case("document-nesting", "nest", index_of(nested(200_000))),
    "content-id": Case(
        "document-content-id", "other", products_of(text(product_file(content_id="other")))
    ),
    "climbing-index": Case(
        "document-path", "..", index_of(text(index({"a": "streams/v1/../../x.sjson"})))
    ),
    "future": Case(
        "source-future", "ahead", index_of(text(index(updated=int(time.time()) + 9 * DAY_S)))
    ),
    "unsigned": Case("signature-missing", "not signed", unsigned),
    "json": Case("signature-missing", ".json", as_it_is, path="streams/v1/index.json"),
    "tampered": Case(
        "signature-bad", "changed after", index_changed(lambda raw: raw.replace(b"x:1", b"x:2"))
    ),
    "tampered-products": Case(
        "signature-bad",
        "changed after",
        products_changed(lambda raw: raw.replace(b"demo", b"Demo")),
    ),
    "cut-signature": Case(
        "signature-truncated", "ends before", index_changed(lambda raw: raw[:-60])
    ),
    "unknown-key": Case("signature-unknown-key", "not in the", index_of(INDEX, "rsa")),
    "expired-key": Case(
        "signature-key-expired", "expired", index_of(INDEX, "expired"), ("expired",)
    ),
    "revoked-key": Case(
        "signature-key-revoked", "revoked", index_of(INDEX, "revoked"), ("revoked",)
    ),
    "expired-signature": Case("signature-expired", "expired", index_of(INDEX, expired=True)),
    "weak-digest": Case(
        "signature-weak-digest", "SHA-256", index_of(INDEX, "rsa", digest="SHA1"), ("rsa",)
    ),
    "weak-key": Case("signature-weak-key", "1024", index_of(INDEX, "weak"), ("weak",)),
    "text-before": Case(
        "signature-surrounding-text", "before", index_changed(lambda raw: b"text\n" + raw)
    ),
    "text-after": Case(
        "signature-surrounding-text", "after", index_changed(lambda raw: raw + b"text\n")
    ),
    "text-between": Case(
        "signature-surrounding-text", "more than one", index_changed(lambda raw: raw + b"x\n" + raw)
    ),
}


class WholeSourceTests(BadInputCase):
    """Sources that cannot be used at all."""

    async def test_each_fault_of_a_source_is_named_and_stops_no_other(self) -> None:
        """`check` and an import name each faulty source by code; the good ones are imported."""
        source = await self.serving()
        numbers = {name: await self.create_faulty(source, name) for name in CASES}
        source.faults[f"stalled/{INDEX_PATH}"] = Fault(stop_at=40)
        source.place("stalled", one_file("stalled", BYTES))
        stalled = await self.create_source(f"{self.base}stalled")
        nowhere = f"http://{LOOPBACK}:{free_ports(1)[0]}/"
        unreachable = await self.create_source(nowhere)
        source.place("sound", one_file("sound", BYTES), contents=[BYTES])
        sound = await self.create_source(f"{self.base}sound", wants="sound")

        for name, case in CASES.items():
            error = await self.refused(f"boot-source check {numbers[name]}", case.code)
            self.assertEqual(error.object, f"boot-source {numbers[name]}")
            self.assertIn(case.says, error.message)
            self.assertIn(f"{self.base}{name}/", error.message)
        error = await self.refused(f"boot-source check {unreachable}", "source-unreachable")
        self.assertIn(nowhere, error.message)

        error = await self.refused("boot-resources import wait", "import-incomplete")
        self.assertIn("what could be had is published", error.remedy)
        for name, case in CASES.items():
            event = await self.event(case.code, f"boot-source {numbers[name]}")
            self.assertIn(case.says, event["cause"])
        await self.event("source-stalled", f"boot-source {stalled}")
        await self.event("source-unreachable", f"boot-source {unreachable}")

        names = [each["name"] for each in await self.ask("boot-resources read")]
        self.assertIn("demo/sound", names)
        self.assertEqual((await self.ask(f"boot-source check {sound}"))["skipped"], [])
        await self.assert_unharmed()

    async def create_faulty(self, source: Faulty, name: str) -> int:
        case = CASES[name]
        source.place(name, one_file(name, BYTES))
        case.arrange(source, name)
        return await self.create_source(f"{self.base}{name}/{case.path}", *case.keys)

    async def test_updated_going_back_keeps_the_last_good_documents(self) -> None:
        """An older document is not obeyed, its images stay, and a newer one ends it."""
        source = await self.serving()
        source.place("back", one_file("back", BYTES), contents=[BYTES], updated=UPDATED + DAY_S)
        number = await self.create_source(f"{self.base}back", wants="back")
        await self.ask("boot-resources import wait")
        source.place("back", one_file("older", BYTES), updated=UPDATED)
        outcome = await self.ask("boot-resources import wait")
        self.assertEqual((outcome["outcome"], outcome["lagging"]), (
            "unchanged", [f"boot-source {number}"]))  # fmt: skip
        self.assertTrue((await self.ask(f"boot-source read {number}"))["lagging_since"])
        names = [each["name"] for each in await self.ask("boot-resources read")]
        self.assertIn("demo/back", names)
        self.assertNotIn("demo/older", names)
        source.place("back", one_file("back", BYTES), updated=UPDATED + 2 * DAY_S)
        await self.ask("boot-resources import wait")
        self.assertIsNone((await self.ask(f"boot-source read {number}"))["lagging_since"])
        events = await self.ask("events read level=info all")
        self.assertEqual([each for each in events if each["code"] == "source-rollback"], [])
        await self.assert_unharmed()
