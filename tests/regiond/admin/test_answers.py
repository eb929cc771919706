"""Every word of the shell that a region answers, and the keys that scripts rely on."""

import base64
import gzip
import inspect

from twisted.internet.defer import Deferred

from common.digests import sha256_hex
from common.errors import RackferryError
from common.identity import new_key
from common.joining import signing_request
from common.tokens import parse_token
from common.vocabulary import VERBS, Answer, BlobName, Place, Verb
from regiond.admin.bundles import BundleAnswers
from regiond.admin.custom_images import CustomImageAnswers
from regiond.admin.daemon import DaemonAnswers
from regiond.admin.images import ImageAnswers
from regiond.admin.racks import RackAnswers
from regiond.admin.settings import SettingAnswers
from regiond.admin.sources import SourceAnswers
from regiond.admin.web import WebAnswers
from regiond.store import blob_writing
from tests.common.test_file_types import tar
from tests.doubles.answering import IDENTITY, AnswerCase
from tests.doubles.golden import golden, shape_of
from tests.doubles.importing import DOCUMENTS, FIRST, JAMMY, KEYS, NOBLE, path_of
from tests.doubles.stream_source import Fault

TGZ = gzip.compress(tar(), mtime=0)
UPLOAD = BlobName(sha256_hex(TGZ), len(TGZ))
NETPLAN = b'{"network": {"ethernets": {"eth0": {"dhcp4": true}}}}'
PARTS = (
    SourceAnswers,
    ImageAnswers,
    BundleAnswers,
    CustomImageAnswers,
    RackAnswers,
    SettingAnswers,
    DaemonAnswers,
    WebAnswers,
)
HERE = [verb for verb in VERBS if Place.REGION in verb.places]
ONE = {"id": "1", "source": "1", "name": "rack-1"}
IDS = {
    "config get": ["events_days"],
    "boot-resource pin": ["2"],
    "boot-resource unpin": ["2"],
    "boot-resource delete": ["2"],
}
NEEDED = {
    "boot-sources create": {"url": "http://127.0.0.1:9/", "unsigned": True},
    "boot-resources create": {"name": "mine", "architecture": "amd64", "content": str(UPLOAD)},
    "boot-resource check-network": {"config": base64.b64encode(NETPLAN).decode()},
    "boot-source-selections create": {"os": "ubuntu", "release": "noble"},
    "rack-controllers create-token": {"name": "rack-2"},
    "rack-controller update": {"selections": ["ubuntu/noble"]},
    "config set": {"events_days": "31"},
}
# In the answers of two the shell has part (tests/regiond/test_bundle_imports); one is of ESXi
# images alone, which no source has (tests/regiond/test_custom_images).
CARRIED = (
    "boot-resources export",
    "boot-resources import-bundle",
    "boot-resource check-network",
)
# Without ``wait`` there is not much to tell.
BEGUN = ("boot-resources import",)
# They take something away that others want to look at.
LAST = ("boot-source-selection delete", "boot-resource delete", "rack-controller delete",
        "boot-source delete")  # fmt: skip
KEYS_OF = {
    "boot-sources read": "id url keyring_filename priority enabled unsigned created updated"
    " last_success",
    "boot-sources create": "id url keyring_filename priority",
    "boot-source read": "id url keyring_filename keyring_data priority lagging_since accept_rollback",
    "boot-source update": "id url keyring_filename priority",
    "boot-source check": "id url keyring credentials proxy ca_file keys signed_by documents images"
    " skipped problems",
    "boot-source-selections read": "id source os release arches subarches labels state",
    "boot-source-selection read": "id source os release arches subarches labels state",
    "boot-source-selection update": "id source os release arches subarches labels state",
    "boot-source-selections create": "id source os release arches subarches labels state",
    "available-images read": "source os release arch subarch label version versions title"
    " release_title kflavor subarches support_eol supported size_bytes selected pinned",
    "boot-resources read": "id type name architecture subarches label version state size_bytes"
    " complete_bytes held_by due_at pinned waiting_version",
    "boot-resources plan": "action name architecture label version size_bytes fetch_bytes pinned"
    " code reason remedy",
    "boot-resources import": "outcome published fetched_bytes",
    "boot-resources create": "id type name architecture label version state title base_image"
    " generation message",
    "boot-resource read": "id type name architecture label version state files source",
    "boot-resource pin": "id name architecture label version pinned waiting_version message",
    "boot-resource unpin": "id name architecture label version pinned waiting_version message",
    "boot-resource rollback": "id name version pinned waiting_version message generation",
    "config list": "name value default help",
    "config get": "name value default help",
    "config set": "name value default help",
    "rack-controllers read": "name state status generation last_seen last_sync problem",
    "rack-controllers create-token": "name token expires_at",
    "rack-controllers canary": "names after racks_waiting due_at waiting",
    "rack-controllers import-boot-images": "name status",
    "rack-controller read": "name state status held_digest progress problem",
    "rack-controller list-boot-images": "name architecture label version",
    "events read": "id at severity code object cause remedy count first_at cleared_at",
    "scrub": "outcome state checked_bytes total_bytes damaged ended_at next_at",
    "status": "name release generation view sources images pinned canaries space problems racks import"
    " scrub"
    " rpc_port enrol_port images_port web_port",
}


def words_of(verb: Verb) -> str:
    return f"{verb.noun} {verb.verb}".strip()


class VocabularyTests(AnswerCase):
    def test_every_word_has_an_answer(self) -> None:
        """Whatever the shell lets people type at a region, there is a method for it."""
        for verb in HERE:
            methods = [getattr(part, verb.name) for part in PARTS if hasattr(part, verb.name)]
            self.assertEqual([*map(inspect.iscoroutinefunction, methods)], [True], verb.name)

    async def test_every_answer_has_its_columns_and_documented_keys(self) -> None:
        """Asked of a region with one of everything, no table lacks a column."""
        await self.one_of_everything()
        for verb in sorted(
            HERE, key=lambda verb: (words_of(verb) in LAST, words_of(verb) == LAST[-1])
        ):
            words = words_of(verb)
            if words in CARRIED:
                continue
            ids = IDS.get(words) or [ONE[i] for i in verb.ids]
            answer = await self.ask(words, *ids, **NEEDED.get(words, {}))
            if verb.answer is Answer.BOOLEAN:
                self.assertIsInstance(answer, bool)
                continue
            rows = answer if verb.answer is Answer.ROWS else [answer]
            self.assertIsInstance(rows, list, words)
            self.assertTrue(rows, f"{words} has nothing to show")
            promised = {*verb.columns, *KEYS_OF.get(words, "").split()}
            for row in rows:
                self.assertEqual(promised - row.keys(), set(), words)
            if words not in BEGUN:
                within = ("import", "images", "space", "canaries")
                kept = golden(Place.REGION, verb)
                self.assertEqual(shape_of(answer, *within), shape_of(kept, *within), words)

    async def one_of_everything(self) -> None:
        await self.database.write(blob_writing.keep_whole, TGZ)
        self.publish(self.product("jammy"), self.product("noble"))
        await self.select(JAMMY)
        await self.settings.change({"boot_images_versions": "2"})
        await self.succeed()
        # The first image has a version to go back to.
        self.publish(self.product("jammy", {"20250801": {"squashfs": b"new"}}),
                     self.product("noble"))  # fmt: skip
        await self.succeed()
        token, _ = await self.fleet.create_token("rack-1")
        secret = parse_token(token).secret
        enrolled = await self.fleet.enrol(secret, signing_request(new_key()), "")
        self.assertTrue(enrolled.certificate_pem)
        (rack,) = await self.fleet.list_racks()
        generation = await self.generation()
        view = (await self.region.overview())["view"]
        identity = type("R", (), {"name": rack["name"]})()
        await self.fleet.report_sync(identity, generation, view, '{"code": "slow"}')
        # An image on its way, and something to plan.
        self.publish(self.product("jammy", {"20250802": {"squashfs": b"newer"}}),
                     self.product("noble"))  # fmt: skip

    async def test_an_id_is_a_number(self) -> None:
        """A word where an id belongs is wrong usage, at every verb that takes one."""
        for verb in HERE:
            for place, name in enumerate(verb.ids):
                if name in {"name", "out", "bundle"}:
                    continue
                ids = ["1"] * len(verb.ids)
                for wrong in ("jammy", "-1", "1.5", "", "9" * 30, "²"):
                    ids[place] = wrong
                    needed = NEEDED.get(words_of(verb), {})
                    error = await self.refused("wrong-ids", words_of(verb), *ids, **needed)
                    self.assertEqual(error.family_code, "wrong-usage")

    async def test_what_is_not_there_is_said_with_a_remedy(self) -> None:
        """Reading or deleting an unknown id is NotFound, and says where to look."""
        for words, *ids in (
            ("boot-source read", 7),
            ("boot-source delete", 7),
            ("boot-source check", 7),
            ("boot-source-selections read", 7),
            ("boot-source-selection read", 1, 7),
            ("boot-source-selection read", 7, 1),
            ("boot-source-selection update", 1, 7),
            ("boot-source-selection update", 7, 1),
            ("boot-source-selection delete", 1, 7),
            ("boot-source-selection delete", 7, 1),
            ("available-images read", 7),
            ("boot-resource read", 7),
            ("boot-resource delete", 7),
            ("boot-resource pin", 7),
            ("boot-resource unpin", 7),
            ("boot-resource rollback", 7),
            ("rack-controller read", "none"),
            ("rack-controller delete", "none"),
            ("rack-controller list-boot-images", "none"),
            ("rack-controller import-boot-images", "none"),
        ):
            with self.assertRaises(RackferryError) as caught:
                await self.ask(words, *ids)
            self.assertEqual(caught.exception.family_code, "not-found", words)
            self.assertTrue(caught.exception.remedy, words)


class ImportAnswerTests(AnswerCase):
    async def test_import_wait_tells_what_was_published(self) -> None:
        """The answer comes when the import has ended."""
        await self.jammy()
        answer = await self.ask("boot-resources import", flags=("wait",))
        self.assertEqual(answer["outcome"], "complete")
        self.assertEqual(answer["published"], [KEYS["jammy"]])
        self.assertEqual(answer["fetched_bytes"], 4)
        self.assertIs(await self.ask("boot-resources is-importing"), False)

    async def test_import_wait_fails_as_the_image_that_failed(self) -> None:
        """A single failure keeps its code and object; several are told together."""
        self.publish(self.product("jammy"), self.product("noble"))
        await self.select(JAMMY)
        self.source.faults[path_of("jammy", "squashfs")] = Fault(status=404)
        error = await self.refused("transfer-http-404", "boot-resources import", flags=("wait",))
        self.assertIn("jammy", error.object)
        await self.select(NOBLE)
        self.source.faults[path_of("noble", "squashfs")] = Fault(status=404)
        error = await self.refused("import-incomplete", "boot-resources import", flags=("wait",))
        self.assertIn("jammy", error.message)
        self.assertIn("noble", error.message)

    async def test_import_answers_at_once_and_a_second_joins(self) -> None:
        """Without wait nobody waits; is-importing says true; stop-import ends it."""
        await self.jammy()
        self.source.faults[path_of("jammy", "squashfs")] = Fault(silent=True)
        started = await self.ask("boot-resources import")
        self.assertEqual(started["outcome"], "started")
        self.assertIs(await self.ask("boot-resources is-importing"), True)
        joined = Deferred.fromCoroutine(self.ask("boot-resources import", flags=("wait",)))
        status = await self.ask("status")
        self.assertTrue(status["import"]["running"])
        self.assertIn("phase", status["import"]["progress"])
        self.assertEqual(await self.ask("boot-resources stop-import"), {"stopped": True})
        error = await self.assertFailure(joined, RackferryError)
        self.assertEqual(error.code, "import-stopped")
        self.assertEqual(await self.ask("boot-resources stop-import"), {"stopped": False})
        status = await self.ask("status")
        self.assertEqual(status["import"]["last"]["outcome"], "stopped")

    async def test_a_failure_of_everything_is_in_the_status(self) -> None:
        """The last import's reason is there with code and remedy."""
        await self.jammy()
        self.source.faults[path_of("jammy", "squashfs")] = Fault(status=404)
        await self.refused("transfer-http-404", "boot-resources import", flags=("wait",))
        status = await self.ask("status")
        failed = status["import"]["last"]["failed"][KEYS["jammy"]]
        self.assertEqual(failed["code"], "transfer-http-404")
        self.assertTrue(failed["remedy"])
        self.assertEqual([each["code"] for each in status["problems"]], ["transfer-http-404"])


class FurtherAnswerTests(AnswerCase):
    async def test_boot_resources_read_by_type(self) -> None:
        """synced, uploaded or all; anything else is wrong usage."""
        await self.jammy()
        await self.succeed()
        for kind, count in (("synced", 1), ("uploaded", 0), ("all", 1)):
            self.assertEqual(len(await self.ask("boot-resources read", type=kind)), count)
        await self.refused("wrong-value", "boot-resources read", type="newest")

    async def test_events_by_level_and_past_ones(self) -> None:
        """level= leaves out what is less; ``all`` adds what is over."""
        await self.jammy()
        self.source.faults[path_of("jammy", "squashfs")] = Fault(status=404)
        await self.run_import()
        for level, count in (("info", 1), ("warning", 1), ("error", 1)):
            self.assertEqual(len(await self.ask("events read", level=level)), count)
        await self.refused("wrong-value", "events read", level="fatal")
        self.heal()
        await self.succeed()
        self.assertEqual(await self.ask("events read"), [])
        (past,) = await self.ask("events read", flags=("all",))
        self.assertIsNotNone(past["cleared_at"])

    async def test_create_token_says_what_to_type_on_the_rack(self) -> None:
        """Name, token, its end, and where the rack is to go."""
        answer = await self.ask("rack-controllers create-token", name="rack-9")
        self.assertTrue(answer["token"].startswith("rg1."))
        self.assertEqual(answer["expires_at"], self.time + 3600)
        self.assertEqual(answer["hosts"], IDENTITY["hosts"])
        self.assertEqual(answer["enrol_port"], IDENTITY["enrol_port"])
        await self.refused("rack-name", "rack-controllers create-token", name="a/b")

    async def test_status_counts_images_and_bytes(self) -> None:
        """Published and importing images, held and partial bytes, the generation."""
        self.publish(self.product("jammy"), self.product("noble"))
        await self.select(JAMMY, NOBLE)
        self.source.faults[path_of("noble", "squashfs")] = Fault(status=404)
        await self.run_import()
        status = await self.ask("status")
        self.assertEqual(
            status["images"], {"published": 1, "importing": 1, "kept": 0, "published_bytes": 13}
        )
        documents = sum(len(self.source.files[path]) for path in DOCUMENTS)
        self.assertEqual(status["space"]["held_bytes"], len(b"root of jammy") + documents)
        self.assertEqual(status["space"]["partial_bytes"], 0)
        self.assertEqual(status["generation"], 2)
        rows = await self.ask("boot-resources read")
        self.assertEqual({row["version"] for row in rows}, {FIRST})
