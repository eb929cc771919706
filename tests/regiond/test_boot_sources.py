"""Boot sources as admins set them: what changes, what stays, and what is never said again."""

import base64
from typing import Any

from twisted.logger import globalLogPublisher

from common.images import FTYPES
from regiond import fulfilment
from regiond.store import changes, source_documents, sources
from tests.doubles.answering import AnswerCase
from tests.doubles.gpg_keys import fingerprint, gpg, public_keys
from tests.doubles.importing import DOCUMENTS, FIRST, JAMMY, NOBLE, SECOND, path_of
from tests.doubles.stream_documents import (
    INDEX_PATH,
    STABLE,
    STABLE_PATH,
    index,
    product_file,
    text,
)
from tests.doubles.stream_source import Fault

PLAIN_PATH = STABLE_PATH.replace(".sjson", ".json")
ELSEWHERE = "http://127.0.0.1:9/"
SECRET = "geheim-Wort.7"
ROOT = path_of("jammy", "squashfs")


def keyring(*names: str, armoured: bool = False) -> str:
    """A keyring as it crosses the admin socket."""
    return base64.b64encode(public_keys(*names, armoured=armoured)).decode()


class UpdateTests(AnswerCase):
    async def update(self, **given: Any) -> dict[str, Any]:
        return await self.ask("boot-source update", 1, **given)

    async def kept(self) -> sources.BootSource:
        return await self.database.read(sources.source, 1)

    async def test_only_what_is_given_changes(self) -> None:
        """Each field alone; nothing is fetched; ``updated`` moves, ``created`` stays."""
        before = await self.ask("boot-source read", 1)
        for given in (
            {"priority": 7},
            {"enabled": False},
            {"rate_limit": "1 MiB/s"},
            {"username": "u"},
            {"enabled": True},
        ):
            self.time += 60
            after = await self.update(**given)
            changed = {name for name in after if after[name] != before[name]}
            expected = {"credentials" if name == "username" else name for name in given}
            self.assertEqual(changed, {*expected, "updated"} | changed & {"warning"})
            self.assertEqual(await self.ask("boot-source read", 1) | after, after)
            before = after | {"warning": ""}
        self.assertEqual(self.source.requests.total(), 0)

    async def test_nothing_given_changes_nothing(self) -> None:
        """An update without a word keeps every field, and the documents."""
        self.publish(self.product("jammy"))
        await self.run_import()
        before = await self.kept()
        await self.update()
        self.assertEqual((await self.kept()).keyring_data, before.keyring_data)
        self.assertEqual(
            set(await self.database.read(source_documents.stored_documents, 1)), set(DOCUMENTS)
        )

    async def test_one_kind_of_keyring_replaces_the_other(self) -> None:
        """File, data, unsigned: whatever is given is the only one afterwards."""
        path = self.directory / "keyring.gpg"
        path.write_bytes(public_keys("rsa"))
        kinds = (
            ({"keyring_filename": str(path)}, str(path)),
            ({"keyring_data": keyring("rsa")}, "(data)"),
            ({"unsigned": True}, "none: unsigned"),
            ({"keyring_filename": str(path)}, str(path)),
            ({"unsigned": True}, "none: unsigned"),
            ({"keyring_data": keyring("rsa")}, "(data)"),
        )
        for given, shown in kinds:
            row = await self.update(**given)
            self.assertEqual((row["keyring"], row["unsigned"]), (shown, shown[0] == "n"))

    async def test_a_source_keeps_exactly_one_keyring(self) -> None:
        """Two at once, or the only one cleared: refused, and the old one stays."""
        before = await self.kept()
        for given in (
            {"keyring_filename": "/k", "keyring_data": keyring("rsa")},
            {"unsigned": True, "keyring_data": keyring("rsa")},
            {"keyring_data": ""},
            {"keyring_filename": "k.gpg"},
        ):
            await self.refused("source-keyring", "boot-source update", 1, **given)
            self.assertEqual(await self.kept(), before)

    async def test_what_create_refuses_update_refuses(self) -> None:
        """The same checks, the same codes; nothing is changed."""
        await self.ask("boot-sources create", url=ELSEWHERE, unsigned=True)
        before = await self.kept()
        for code, given in (
            ("source-url", {"url": "ftp://host/"}),
            ("source-url", {"url": ""}),
            ("source-exists", {"url": f"{ELSEWHERE}streams/v1/index.json", "unsigned": True}),
            ("source-credentials", {"username": "u", "bearer_token": "t"}),
            ("source-credentials", {"url": "http://u:p@host/", "bearer_token": "t"}),
            ("source-credentials", {"password": "p"}),
            ("source-credentials", {"username": "u:v"}),
            ("source-credentials", {"bearer_token": "two words"}),
            ("wrong-value", {"priority": 10**12}),
            ("wrong-value", {"keyring_filename": "/k\0"}),
            ("signature-keyring-unusable", {"keyring_data": base64.b64encode(b"no").decode()}),
        ):
            error = await self.refused(code, "boot-source update", 1, **given)
            self.assertTrue(error.remedy or error.code == "wrong-value")
            self.assertEqual(await self.kept(), before)
        await self.refused("source-unknown", "boot-source update", 9, priority=1)

    async def test_its_own_place_is_no_conflict(self) -> None:
        """The same URL, spelt otherwise, is the same source."""
        bare = self.urls[self.source].rstrip("/")
        self.assertEqual((await self.update(url=bare))["url"], f"{bare}/")
        await self.update(url=f"{bare}/streams/v1/index.sjson", priority=3)

    async def test_an_expired_keyring_is_taken_with_a_warning(self) -> None:
        """As by create."""
        for name in ("expired", "revoked"):
            row = await self.update(keyring_data=keyring(name))
            self.assertIn(fingerprint(name), row["warning"])

    async def test_another_keyring_has_everything_verified_again(self) -> None:
        """The documents are forgotten; those that it did not sign are refused."""
        await self.jammy()
        await self.succeed()
        await self.update(keyring_data=keyring("outsider"))
        result = await self.run_import()
        self.assertEqual(
            {name: e.code for name, e in result.failed.items()},
            {"boot-source 1": "signature-unknown-key"},
        )
        self.assertEqual(await self.versions(), {"jammy": FIRST})
        self.assertIsNone((await self.kept()).last_success_at)


class MovedTests(AnswerCase):
    """Another URL: nothing that both places list is fetched twice."""

    async def moved(self) -> Any:
        """Jammy is published; the source moves to a copy of itself."""
        await self.jammy(b"root")
        await self.succeed()
        copy = self.new_source()
        copy.files.update(self.source.files)
        return copy

    async def test_nothing_is_fetched_twice(self) -> None:
        """The new place is asked for its documents and for no file; the image stays."""
        copy = await self.moved()
        generation = await self.generation()
        await self.ask("boot-source update", 1, url=self.urls[copy])
        self.assertEqual(copy.requests.total(), 0)
        await self.succeed()
        self.assertEqual(set(copy.requests), set(DOCUMENTS))
        self.assertEqual(await self.versions(), {"jammy": FIRST})
        self.assertEqual(await self.generation(), generation)

    async def test_only_what_is_new_there_is_fetched(self) -> None:
        """A newer version with one new file costs that file."""
        copy = await self.moved()
        files = {"squashfs": b"root", "boot-kernel": b"kernel"}
        self.publish(self.product("jammy", {SECOND: files}, source=copy), source=copy)
        await self.ask("boot-source update", 1, url=self.urls[copy])
        result = await self.succeed()
        self.assertEqual(result.fetched_bytes, len(b"kernel"))
        self.assertEqual(copy.requests[path_of("jammy", "squashfs", SECOND)], 0)
        self.assertEqual(await self.versions(), {"jammy": SECOND})

    async def test_no_image_goes_before_the_new_place_was_read(self) -> None:
        """It is unreachable, and then it does not have the image any more: both times it stays."""
        copy = await self.moved()
        await copy.stop()
        await self.ask("boot-source update", 1, url=self.urls[copy])
        self.assertEqual((await self.run_import()).failed["boot-source 1"].code,
                         "source-unreachable")  # fmt: skip
        self.assertEqual(await self.versions(), {"jammy": FIRST})

    async def test_a_move_while_it_is_read_stores_nothing_of_the_old_place(self) -> None:
        """The import says so, keeps nothing, publishes nothing; the next one reads the new."""
        copy = await self.moved()
        self.publish(self.product("jammy", {SECOND: {"squashfs": b"old place"}}))
        self.source.faults[STABLE_PATH] = Fault(silent=True)
        importing = self.start_import()
        await self.until(lambda: self.source.requests[STABLE_PATH] == 2)
        await self.ask("boot-source update", 1, url=self.urls[copy])
        self.source.faults.clear()
        self.source.drop_connections()
        result = await importing
        self.assertEqual(
            {name: e.code for name, e in result.failed.items()}, {"boot-source 1": "source-changed"}
        )
        self.assertEqual(await self.database.read(source_documents.stored_documents, 1), {})
        self.assertEqual(await self.versions(), {"jammy": FIRST})
        self.assertEqual([*await self.open_events()], [("source-changed", "import")])
        await self.succeed()
        self.assertEqual(await self.versions(), {"jammy": FIRST})
        self.assertEqual(await self.open_events(), {})


class MeanwhileTests(AnswerCase):
    """A source that goes away while its files are fetched."""

    async def two_sources(self) -> Any:
        """Jammy is slow to come from the first source, noble comes from the second."""
        self.publish(self.product("jammy", {FIRST: {"squashfs": b"root", "boot-kernel": b"k"}}))
        other = self.new_source()
        self.publish(self.product("noble", source=other), source=other)
        await self.select(JAMMY)
        await self.select(NOBLE, source_id=await self.add_source(other))
        self.source.faults[ROOT] = Fault(silent=True)
        return other

    async def goes(self, words: str, **given: Any) -> Any:
        """How an import ends in which the first source goes away."""
        importing = self.start_import()
        await self.until(lambda: self.source.requests[ROOT] == 1)
        await self.ask(words, 1, **given)
        self.source.faults.clear()
        self.source.drop_connections()
        return await importing

    async def test_a_deleted_source_costs_its_own_images_only(self) -> None:
        """The import goes on for the others, and says once what happened."""
        await self.two_sources()
        result = await self.goes("boot-source delete")
        self.assertEqual(await self.versions(), {"noble": FIRST})
        self.assertEqual(
            {name: e.code for name, e in result.failed.items()}, {"boot-source 1": "source-changed"}
        )
        self.assertIn("deleted", result.failed["boot-source 1"].message)
        self.assertEqual([*await self.open_events()], [("source-changed", "import")])
        await self.succeed()
        self.assertEqual(await self.open_events(), {})
        self.assertEqual([row["state"] for row in await self.ask("boot-resources read")],
                         ["published"])  # fmt: skip

    async def test_a_disabled_source_publishes_nothing_more(self) -> None:
        """What it had so far is kept for when it is enabled again."""
        await self.two_sources()
        result = await self.goes("boot-source update", enabled=False)
        self.assertEqual(await self.versions(), {"noble": FIRST})
        self.assertIn("disabled", result.failed["boot-source 1"].message)
        await self.succeed()
        await self.ask("boot-source update", 1, enabled=True)
        await self.succeed()
        self.assertEqual(await self.versions(), {"noble": FIRST, "jammy": FIRST})

    async def test_nothing_more_is_asked_of_it(self) -> None:
        """Of a source that is gone, no further file is fetched."""
        self.patch(fulfilment, "SMALL_FOR_ONE", 1)
        files = {ftype: ftype.encode() for ftype in FTYPES - {"root-image.gz"}}
        self.assertGreater(len(files), 4)
        self.publish(self.product("jammy", {FIRST: files}))
        await self.select(JAMMY)
        for ftype in files:
            self.source.faults[path_of("jammy", ftype)] = Fault(silent=True)
        importing = self.start_import()
        await self.until(lambda: len(self.source.requests) == 2 + 4)  # four at once
        await self.ask("boot-source delete", 1)
        self.source.faults.clear()
        self.source.drop_connections()
        await importing
        self.assertEqual(len(self.source.requests), 2 + 4)


class DisabledTests(AnswerCase):
    async def test_its_images_stay_and_nothing_new_comes(self) -> None:
        """It is not read; what it published is held until it is enabled again."""
        await self.jammy()
        await self.succeed()
        generation = await self.generation()
        await self.ask("boot-source update", 1, enabled=False)
        self.heal()
        self.publish(self.product("jammy", {SECOND: {"squashfs": b"new"}}))
        await self.succeed()
        self.assertEqual(self.source.requests.total(), 0)
        self.assertEqual(await self.versions(), {"jammy": FIRST})
        self.assertEqual(await self.generation(), generation)
        self.assertEqual(await self.ask("boot-resources plan"), [])
        await self.ask("boot-source update", 1, enabled=True)
        await self.succeed()
        self.assertEqual(await self.versions(), {"jammy": SECOND})

    async def test_an_image_that_is_wanted_no_longer_goes(self) -> None:
        """Disabling keeps what is selected, and that alone."""
        await self.jammy()
        await self.succeed()
        await self.ask("boot-source update", 1, enabled=False)
        await self.deselect(1)
        await self.succeed()
        self.assertEqual(await self.versions(), {})

    async def test_its_problems_are_over(self) -> None:
        """Nobody looks at it any more, so nobody else would clear them."""
        self.source.faults[INDEX_PATH] = Fault(status=500)
        await self.run_import()
        self.assertTrue(await self.open_events())
        await self.ask("boot-source update", 1, enabled=False)
        self.assertEqual(await self.open_events(), {})

    async def test_a_selection_does_not_read_it_either(self) -> None:
        """It is accepted unchecked, and looked at when the source is enabled."""
        self.publish(self.product("jammy"))
        await self.ask("boot-source update", 1, enabled=False)
        made = await self.ask("boot-source-selections create", 1, os="ubuntu", release="jammy")
        self.assertEqual(made["state"], "unchecked")
        await self.refused("source-disabled", "available-images read", 1)
        self.assertEqual(self.source.requests.total(), 0)

    async def test_it_can_be_made_disabled(self) -> None:
        """A source that is to be looked at before it is used."""
        self.publish(self.product("jammy"))
        made = await self.ask("boot-sources create", url=ELSEWHERE, unsigned=True, enabled=False)
        self.assertIs(made["enabled"], False)
        await self.succeed()


class CredentialTests(AnswerCase):
    async def test_no_secret_is_ever_said_again(self) -> None:
        """No listing, check, refusal, event, change, log line or ``repr`` holds it."""
        self.said: list[str] = []
        globalLogPublisher.addObserver(self._note)
        self.addCleanup(globalLogPublisher.removeObserver, self._note)
        self.publish(self.product("jammy"))
        await self.select(JAMMY)
        base = self.urls[self.source]
        in_url = base.replace("http://", f"http://user:{SECRET}@")
        for given, kind, header in (
            ({"url": in_url}, "basic", _basic("user")),
            ({"bearer_token": SECRET}, "bearer", f"Bearer {SECRET}"),
            ({"username": "other", "password": SECRET}, "basic", _basic("other")),
        ):
            await self._one_kind(given, kind, header)
        for given in ({"url": in_url}, {"url": in_url, "keyring_data": keyring("rsa")},
                      {"url": in_url, "bearer_token": SECRET},
                      {"url": f"ftp://user:{SECRET}/@host/", "unsigned": True},
                      {"url": ELSEWHERE, "unsigned": True, "bearer_token": f"{SECRET} x"},
                      {"url": ELSEWHERE, "unsigned": True, "password": SECRET}):  # fmt: skip
            error = await self.refused("", "boot-sources create", **given)
            self.said += [repr(error), str(error.to_json()), error.line()]
        everything = "\n".join(self.said)
        for secret in (SECRET, _b64(f"user:{SECRET}"), _b64(f"other:{SECRET}")):
            place = everything.find(secret)
            self.assertEqual(place, -1, everything[max(0, place - 100) : place + 100])

    async def _one_kind(self, given: dict[str, str], kind: str, header: str) -> None:
        """Everything that can be asked of a source with these, and all that goes wrong."""
        self.heal()
        self.source.headers.clear()
        row = await self.ask("boot-source update", 1, **given)
        self.assertEqual(row["credentials"], kind)
        self.assertIn("in the clear", row["warning"])
        self.said.append(repr(await self.database.read(sources.source, 1)))
        for words, *ids in (
            ("boot-sources read",), ("boot-source read", 1), ("boot-source check", 1),
            ("available-images read",), ("boot-resources plan",), ("status",),
        ):  # fmt: skip
            self.said.append(str(await self.ask(words, *ids)))
        self.said.append(str(await self.run_import()))
        self.assertEqual(
            {headers.get("authorization") for headers in self.source.headers.values()}, {header}
        )
        for fault in (Fault(status=401), Fault(location="http://localhost:1/"), Fault(cut_at=3)):
            self.source.faults[INDEX_PATH] = fault
            error = await self.refused("", "boot-source check", 1)
            self.said += [repr(error), str(error.to_json())]
            self.said.append(str(await self.run_import()))
            self.said.append(str(await self.ask("events read", flags=("all",))))
        self.said.append(str(await self.database.read(changes.since, 0)))

    def _note(self, event: dict[str, Any]) -> None:
        self.said.append(repr(event))

    async def test_each_kind_replaces_the_other_and_an_empty_value_clears(self) -> None:
        """Whatever is given last is what is sent."""
        self.publish(self.product("jammy"))
        for given, header in (
            ({"username": "a", "password": "b"}, "Basic " + _b64("a:b")),
            ({"password": ""}, "Basic " + _b64("a:")),
            ({"password": "ü"}, "Basic " + _b64("a:ü")),
            ({"bearer_token": "t0ken=="}, "Bearer t0ken=="),
            ({"username": "c"}, "Basic " + _b64("c:")),
            ({"username": ""}, None),
            ({"bearer_token": "x"}, "Bearer x"),
            ({"bearer_token": ""}, None),
        ):
            await self.ask("boot-source update", 1, **given)
            await self.ask("boot-source check", 1)
            self.assertEqual(self.source.headers[INDEX_PATH].get("authorization"), header, given)

    async def test_credentials_stay_with_their_server(self) -> None:
        """An admin who moves a source is told that the old password does not go along."""
        await self.ask("boot-source update", 1, url="https://one.example/", username="u")
        row = await self.ask("boot-source update", 1, url="https://one.example/elsewhere/")
        self.assertEqual((row["credentials"], row.get("warning")), ("basic", None))
        row = await self.ask("boot-source update", 1, url="https://two.example/elsewhere/")
        self.assertEqual(row["credentials"], "none")
        self.assertIn("taken away", row["warning"])
        row = await self.ask("boot-source update", 1, url="https://one.example/", username="v")
        self.assertEqual((row["credentials"], row.get("warning")), ("basic", None))

    async def test_credentials_in_the_url_of_an_older_release_work_and_can_be_changed(self) -> None:
        """They were kept in the URL; the first change of them takes them out of it."""
        self.publish(self.product("jammy"))
        old = self.urls[self.source].replace("http://", f"http://user:{SECRET}@")
        await self.database.write(sources.update_source, 1, {"url": old}, self.time)
        row = await self.ask("boot-source read", 1)
        self.assertEqual((row["url"], row["credentials"]), (self.urls[self.source], "basic"))
        await self.ask("boot-source check", 1)
        self.assertEqual(self.source.headers[INDEX_PATH]["authorization"], _basic("user"))
        await self.ask("boot-source update", 1, username="")
        await self.ask("boot-source check", 1)
        self.assertNotIn("authorization", self.source.headers[INDEX_PATH])
        self.assertNotIn(SECRET, (await self.database.read(sources.source, 1)).url)


class KeyringFormTests(AnswerCase):
    async def check(self, **given: str) -> dict[str, Any]:
        await self.ask("boot-source update", 1, **given)
        return await self.ask("boot-source check", 1)

    async def test_binary_and_armoured_by_file_and_by_data(self) -> None:
        """All four verify what the key signed."""
        self.publish(self.product("jammy"))
        for armoured in (False, True):
            path = self.directory / "keyring"
            path.write_bytes(public_keys("ed25519", armoured=armoured))
            for given in (
                {"keyring_filename": str(path)},
                {"keyring_data": keyring("ed25519", armoured=armoured)},
            ):
                answer = await self.check(**given)
                self.assertEqual(answer["signed_by"], [fingerprint("ed25519")])

    async def test_what_is_no_keyring_is_refused_with_its_reason(self) -> None:
        """Empty, garbage, secret keys, a directory, a file that nobody may read."""
        secret = gpg("--export-secret-keys", fingerprint("rsa"))
        armoured = gpg("--armor", "--export-secret-keys", fingerprint("rsa"))
        path = self.directory / "keyring"
        for content, code, says in (
            (b"", "signature-keyring-unusable", "empty"),
            (b" \n", "signature-keyring-unusable", "empty"),
            (b"garbage", "signature-keyring-unusable", "no key"),
            (bytes(range(128, 256)), "signature-keyring-unusable", "no key"),
            (secret, "signature-keyring-secret", "secret keys"),
            (armoured, "signature-keyring-secret", "secret keys"),
        ):
            path.write_bytes(content)
            given = [{"keyring_filename": str(path)}]
            if content:
                given.append({"keyring_data": base64.b64encode(content).decode()})
            for each in given:
                error = await self.refused(code, "boot-source update", 1, **each)
                self.assertIn(says, error.message)
        directory = {"keyring_filename": str(self.directory)}
        await self.refused("signature-keyring-unreadable", "boot-source update", 1, **directory)

    async def test_a_keyring_that_became_unusable_fails_by_name(self) -> None:
        """The file was replaced after it was accepted."""
        path = self.directory / "keyring"
        path.write_bytes(public_keys("ed25519"))
        self.publish(self.product("jammy"))
        await self.check(keyring_filename=str(path))
        path.write_bytes(b"")
        error = await self.refused("signature-keyring-unusable", "boot-source check", 1)
        self.assertEqual(error.object, "boot-source 1")


class CheckReportTests(AnswerCase):
    async def test_check_tells_the_state_of_each_key(self) -> None:
        """Good, expired, revoked, with the end of its time; and who signed."""
        self.publish(self.product("jammy"))
        await self.ask(
            "boot-source update", 1, keyring_data=keyring("ed25519", "expired", "revoked")
        )
        answer = await self.ask("boot-source check", 1)
        states = {key["fingerprint"]: key["state"] for key in answer["keys"]}
        ends = {key["fingerprint"]: key["expires_at"] for key in answer["keys"]}
        self.assertEqual(
            states,
            {
                fingerprint("ed25519"): "good",
                fingerprint("expired"): "expired",
                fingerprint("revoked"): "revoked",
            },
        )
        self.assertIsNone(ends[fingerprint("ed25519")])
        self.assertLess(ends[fingerprint("expired")], self.time)
        self.assertEqual(answer["signed_by"], [fingerprint("ed25519")])

    async def test_check_of_an_unsigned_source_has_no_keys(self) -> None:
        """And says that nobody signed."""
        self.publish(self.product("jammy"))
        unsigned = self.new_source()
        unsigned.files = {
            INDEX_PATH.replace(".sjson", ".json"): text(index({STABLE: PLAIN_PATH})),
            PLAIN_PATH: text(product_file(self.product("jammy", source=unsigned))),
        }
        await self.ask("boot-source update", 1, url=self.urls[unsigned], unsigned=True)
        answer = await self.ask("boot-source check", 1)
        self.assertEqual((answer["keys"], answer["signed_by"], answer["images"]), ([], [], 1))
        self.assertEqual(answer["keyring"], "none: unsigned")

    async def test_check_writes_nothing(self) -> None:
        """Not for a sound source, not for one with skipped products, not for a bad one."""
        broken = self.product("noble")
        broken["versions"][FIRST]["items"]["squashfs"]["sha256"] = "none"
        self.publish(self.product("jammy"), broken)
        await self.ask("boot-sources read")  # a first connection sets up its log

        async def refuse(*_: Any, **__: Any) -> None:
            raise AssertionError("a write")

        self.patch(self.database, "write", refuse)
        before = self.fingerprint()
        answer = await self.ask("boot-source check", 1)
        self.assertEqual((answer["images"], len(answer["skipped"])), (1, 1))
        self.source.faults[INDEX_PATH] = Fault(status=500)
        await self.refused("source-http-500", "boot-source check", 1)
        self.assertEqual(self.fingerprint(), before)


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _basic(user: str) -> str:
    return "Basic " + _b64(f"{user}:{SECRET}")
