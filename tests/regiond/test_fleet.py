"""What racks may ask and what admins see of them, on the real store."""

import itertools
import json

from common.commands import PIECE_BYTES, SILENCE_LIMIT_S
from common.digests import sha256_hex
from common.errors import NotFound, RangeError, Refused, StorageError, WrongUsage
from common.events import Event, Severity
from common.images import View
from common.tokens import LIFETIME_S, parse_token
from regiond.presence import status_of
from regiond.racks.fleet import RackIdentity
from regiond.store import blobs, events, generations, leases, scrubs
from tests.doubles.fleets import PROBLEM, FleetCase, new_request
from tests.doubles.stores import NOW, Content, content, finished, key

NOBLE = key("noble")


class EnrolmentTests(FleetCase):
    def test_a_token_makes_a_rack(self) -> None:
        """The certificate that a token buys is the one by which the rack is known."""
        rack = self.enrol()
        self.assertEqual(rack.name, "rack-1")
        self.assertEqual([row["name"] for row in finished(self.fleet.list_racks())], ["rack-1"])

    def test_a_token_says_how_long_it_holds_and_then_is_refused(self) -> None:
        """An hour, by the region's clock."""
        token, expires_at = finished(self.fleet.create_token("rack-1"))
        self.assertEqual(expires_at, NOW + LIFETIME_S)
        self.clock.advance(LIFETIME_S + 1)
        secret = parse_token(token).secret
        error = self.refusal(self.fleet.enrol(secret, new_request(), ""), Refused)
        self.assertEqual(error.code, "token-expired")

    def test_a_token_works_once_and_again_for_the_same_key_only(self) -> None:
        """A lost answer can be asked for again; a second machine gets nothing."""
        token, _ = finished(self.fleet.create_token("rack-1"))
        request = new_request()
        first = self.enrol_with(token, request)
        self.assertEqual(self.enrol_with(token, request), first)
        secret = parse_token(token).secret
        error = self.refusal(self.fleet.enrol(secret, new_request(), ""), Refused)
        self.assertEqual(error.code, "token-used")

    def test_a_second_token_replaces_the_certificate(self) -> None:
        """The old certificate of a rack that enrols again is known no longer."""
        old = self.enrol()
        new = self.enrol()
        self.assertIsNone(finished(self.fleet.rack_by_serial(old.serial)))
        self.assertIsNotNone(finished(self.fleet.rack_by_serial(new.serial)))

    def test_a_name_that_is_no_path_segment_gets_no_token(self) -> None:
        """Rack names may become parts of paths."""
        self.assertEqual(
            self.refusal(self.fleet.create_token("../x"), WrongUsage).code, "rack-name"
        )


class DocumentTests(FleetCase):
    def test_the_view_names_documents_that_can_be_read_in_pieces(self) -> None:
        """Pieces of at most 48 KiB put together are the document, by its digest."""
        rack = self.enrol()
        generation, digest = finished(self.fleet.current_view(rack, ""))
        whole, size_bytes = finished(self.fleet.document(rack, digest, 0))
        self.assertEqual((sha256_hex(whole), size_bytes), (digest, len(whole)))
        self.assertEqual(View.from_document(whole).generation, generation)
        rest, _ = finished(self.fleet.document(rack, digest, 7))
        self.assertEqual(rest, whole[7:])

    def test_a_large_document_takes_several_pieces(self) -> None:
        """It is paged, and whole when it is put together."""
        rack = self.enrol()
        large = bytes(2 * PIECE_BYTES) + b"end"
        (digest,) = self.write(generations.keep_documents, [large]).values()
        pieces: list[bytes] = []
        size_bytes = 1
        while sum(map(len, pieces)) < size_bytes:
            at = sum(map(len, pieces))
            piece, size_bytes = finished(self.fleet.document(rack, digest, at))
            pieces.append(piece)
        self.assertEqual(b"".join(pieces), large)
        self.assertEqual([len(piece) for piece in pieces], [PIECE_BYTES, PIECE_BYTES, 3])

    def test_what_is_not_there_is_refused_in_words(self) -> None:
        """An unknown document and an impossible offset have errors of their own."""
        rack = self.enrol()
        self.refusal(self.fleet.document(rack, "0" * 64, 0), NotFound)
        _, digest = self.view()
        self.refusal(self.fleet.document(rack, digest, -1), RangeError)
        self.refusal(self.fleet.document(rack, digest, 1 << 40), RangeError)


class BlobTests(FleetCase):
    def bytes_of(self, rack: RackIdentity, wanted: Content) -> bytes | None:
        source = finished(self.fleet.blob(rack, wanted.sha256))
        if source is None:
            return None
        chunks = range(-(-source.size_bytes // (1 << 20)))
        return b"".join(finished(source.read_chunk(seq)) for seq in chunks)

    def test_a_rack_gets_what_is_in_its_view(self) -> None:
        """Bytes and digest list of a published file, whole."""
        rack = self.enrol()
        self.assertEqual(self.bytes_of(rack, self.root), b"".join(self.root.chunks))
        self.assertEqual(finished(self.fleet.digests(rack, self.root.sha256)), self.root.digests)

    def test_what_is_not_in_its_view_does_not_exist(self) -> None:
        """A blob that is held, but not published, is None; so is one that nobody knows."""
        rack = self.enrol()
        secret = content(1000, seed=9)
        self.store(secret)
        for sha256 in (secret.sha256, "0" * 64):
            self.assertIsNone(finished(self.fleet.blob(rack, sha256)))
            self.assertIsNone(finished(self.fleet.digests(rack, sha256)))

    def test_what_went_bad_has_a_reason(self) -> None:
        """A blob of its view that is not whole any more: neither bytes nor digest list, and why."""
        rack = self.enrol()
        token = self.write(leases.acquire, scrubs.LEASE, "region-1", NOW, 60.0)
        held = self.read(blobs.find_blob, self.root.sha256)
        event = Event("blob-damaged", Severity.ERROR, "blob", "bad")
        self.write(scrubs.withdraw, held, 1, lambda _: event, token=token, now=NOW)
        for asked in (self.fleet.blob, self.fleet.digests):
            error = self.refusal(asked(rack, self.root.sha256), StorageError)
            self.assertEqual((error.code, error.object), ("blob-damaged", self.root.sha256))

    def test_a_deleted_rack_gets_nothing(self) -> None:
        """From the deletion on its certificate is unknown, and its blobs are not there."""
        rack = self.enrol()
        self.assertEqual(finished(self.fleet.delete_rack("rack-1")), (rack.serial,))
        self.assertIsNone(finished(self.fleet.rack_by_serial(rack.serial)))
        self.assertIsNone(self.bytes_of(rack, self.root))
        self.assertIsNone(finished(self.fleet.digests(rack, self.root.sha256)))
        self.assertEqual(finished(self.fleet.list_racks()), [])

    def test_what_was_replaced_can_still_be_fetched_for_a_while(self) -> None:
        """A rack in the middle of the last generation may finish it."""
        rack = self.enrol()
        self.publish([content(1000, seed=2)], version="20261102")
        self.assertIsNotNone(self.bytes_of(rack, self.root))
        self.clock.advance(2 * 3600 + 1)
        self.assertIsNone(self.bytes_of(rack, self.root))


class StatusTests(FleetCase):
    def status(self) -> str:
        return str(finished(self.fleet.describe_rack("rack-1"))["status"])

    def test_the_first_that_fits(self) -> None:
        """Silent > synced > transferring > importing > out of sync, in every combination."""
        for silent, synced, moving, importing in itertools.product((True, False), repeat=4):
            expected = (
                "unknown" if silent
                else "synced" if synced
                else "syncing" if moving
                else "region-importing" if importing
                else "out-of-sync"
            )  # fmt: skip
            found = status_of(
                is_silent=silent,
                is_held=synced,
                is_transferring=moving,
                is_importing=importing,
            )
            self.assertEqual(found, expected)

    def test_a_rack_goes_through_its_states(self) -> None:
        """From the first word over a sync to silence, the listing follows."""
        rack = self.enrol()
        generation, digest = self.view()
        self.assertEqual(self.status(), "unknown")
        finished(self.fleet.seen(rack))
        self.assertEqual(self.status(), "out-of-sync")
        self.is_importing = True
        self.assertEqual(self.status(), "region-importing")
        finished(self.fleet.report_progress(rack, generation, 5, 10))
        self.assertEqual(self.status(), "syncing")
        progress = finished(self.fleet.describe_rack("rack-1"))["progress"]
        self.assertEqual((progress["fetched_bytes"], progress["total_bytes"]), (5, 10))
        finished(self.fleet.report_sync(rack, generation, digest, ""))
        self.assertEqual(self.status(), "synced")
        self.clock.advance(SILENCE_LIMIT_S + 1)
        described = finished(self.fleet.describe_rack("rack-1"))
        self.assertEqual(
            (described["status"], described["generation"], described["held_digest"]),
            ("unknown", generation, digest),
        )
        self.assertEqual(described["last_seen"], NOW)

    def test_how_far_a_rack_is_behind(self) -> None:
        """In generations that changed its view, and since when; nothing when it holds it."""
        rack = self.enrol()
        generation, digest = self.view()
        finished(self.fleet.seen(rack))
        finished(self.fleet.report_sync(rack, generation, digest, ""))
        self.publish([content(1000, seed=2)], version="20261102")
        self.clock.advance(60)
        self.publish([content(1000, seed=3)], version="20261103")
        row = finished(self.fleet.describe_rack("rack-1"))
        self.assertEqual(
            (row["generation"], row["lag_generations"], row["lag_since"]), (generation, 2, NOW)
        )
        newest, digest = self.view()
        finished(self.fleet.report_sync(rack, newest, digest, ""))
        row = finished(self.fleet.describe_rack("rack-1"))
        self.assertEqual(
            (row["generation"], row["lag_generations"], row["lag_since"]), (newest, 0, None)
        )

    def test_a_sync_that_failed_holds_what_it_held(self) -> None:
        """The generation that is shown is the one of what is on the disk, not the one wanted."""
        rack = self.enrol()
        generation, digest = self.view()
        finished(self.fleet.report_sync(rack, generation, digest, ""))
        self.publish([content(1000, seed=2)], version="20261102")
        finished(self.fleet.report_sync(rack, generation + 1, digest, json.dumps(PROBLEM)))
        row = finished(self.fleet.describe_rack("rack-1"))
        self.assertEqual((row["generation"], row["lag_generations"]), (generation, 1))

    def test_how_fast_a_rack_is(self) -> None:
        """Bytes each second, by what it said lately."""
        rack = self.enrol()
        for second in range(5):
            finished(self.fleet.report_progress(rack, 1, second * 1000, 10_000))
            self.clock.advance(1)
        progress = finished(self.fleet.describe_rack("rack-1"))["progress"]
        self.assertEqual(progress["rate_bytes_s"], 1000)

    def test_what_a_rack_holds_is_listed(self) -> None:
        """By the last view that it reported complete."""
        rack = self.enrol()
        self.assertEqual(finished(self.fleet.images_of("rack-1")), [])
        generation, digest = self.view()
        finished(self.fleet.report_sync(rack, generation, digest, ""))
        (row,) = finished(self.fleet.images_of("rack-1"))
        self.assertEqual((row["name"], row["architecture"]), ("ubuntu/jammy", "amd64/ga-22.04"))
        self.assertEqual(row["size_bytes"], self.root.size_bytes)


class ClockTests(FleetCase):
    """What a rack's clock shows when it says hello."""

    def skew(self, skew_s: float) -> object:
        finished(self.fleet.greeted(self.rack, NOW + self.clock.seconds() + skew_s))
        return finished(self.fleet.describe_rack("rack-1"))["clock_skew_s"]

    def problems(self) -> list[tuple[str, str, str]]:
        return [
            (each.event.code, each.event.object, each.event.cause)
            for each in self.read(events.list_events)
        ]

    def setUp(self) -> None:
        super().setUp()
        self.rack = self.enrol()

    def test_a_clock_that_is_wrong_is_an_event_until_it_is_right(self) -> None:
        """More than a minute either way; a sync that ends well does not clear it."""
        self.assertEqual(self.skew(-30.0), -30.0)
        self.assertEqual(self.problems(), [])
        for skew_s, text in ((-75.0, "1 min 15 s behind"), (7200.0, "2 h ahead of")):
            self.assertEqual(self.skew(skew_s), skew_s)
            self.assertEqual(
                self.problems(),
                [("clock-skew", "clock of rack rack-1", f"it is {text} the region's")],
            )
        finished(self.fleet.report_sync(self.rack, *self.view(), ""))
        self.assertEqual(len(self.problems()), 1)
        self.skew(1.0)
        self.assertEqual(self.problems(), [])

    def test_nonsense_is_not_kept(self) -> None:
        """What is no time cannot be said in JSON either."""
        for wrong in (float("nan"), float("inf")):
            self.assertIsNone(self.skew(wrong))

    def test_deleting_a_rack_ends_it(self) -> None:
        """Nothing stays open about a rack that is no more."""
        self.skew(7200.0)
        finished(self.fleet.delete_rack("rack-1"))
        self.assertEqual(self.problems(), [])


class EmptyTests(FleetCase):
    is_published = False

    def test_a_rack_without_anything_is_never_synced(self) -> None:
        """Before the first publish, holding nothing is not holding the view."""
        finished(self.fleet.seen(self.enrol()))
        row = finished(self.fleet.describe_rack("rack-1"))
        self.assertEqual((row["status"], row["lag_generations"]), ("out-of-sync", 0))


class ProblemTests(FleetCase):
    def problems(self) -> list[tuple[str, str, str, str]]:
        return [
            (each.event.code, each.event.object, each.event.cause, each.event.remedy)
            for each in self.read(events.list_events)
        ]

    def test_a_racks_problem_is_an_event_until_it_is_over(self) -> None:
        """Code, cause and remedy come from the rack; the next good sync clears them."""
        rack = self.enrol()
        generation, digest = self.view()
        finished(self.fleet.report_sync(rack, generation, "", json.dumps(PROBLEM)))
        self.assertEqual(
            self.problems(), [("no-space", "rack rack-1", "disk: is full", "free space")]
        )
        self.assertEqual(finished(self.fleet.describe_rack("rack-1"))["problem"], PROBLEM)
        finished(self.fleet.report_sync(rack, generation, digest, ""))
        self.assertEqual(self.problems(), [])
        self.assertIsNone(finished(self.fleet.describe_rack("rack-1"))["problem"])

    def test_a_report_that_cannot_be_read_is_a_problem_all_the_same(self) -> None:
        """Whatever a rack sends as its reason, the region goes on and shows that it failed."""
        rack = self.enrol()
        for text in ("not json", "[1]", "[" * 40_000, '{"code": 5}'):
            finished(self.fleet.report_sync(rack, 1, "", text))
            self.assertEqual(len(self.problems()), 1, text[:20])

    def test_deleting_a_rack_clears_its_problem(self) -> None:
        """Nothing stays open about a rack that is no more."""
        rack = self.enrol()
        finished(self.fleet.report_sync(rack, 1, "", json.dumps(PROBLEM)))
        finished(self.fleet.delete_rack("rack-1"))
        self.assertEqual(self.problems(), [])

    def test_an_unknown_rack_is_told_as_such(self) -> None:
        """Every question about it has the same answer, with a remedy."""
        for work in (
            self.fleet.describe_rack("none"),
            self.fleet.delete_rack("none"),
            self.fleet.images_of("none"),
        ):
            self.assertTrue(self.refusal(work, NotFound).remedy)


class RestrictionTests(FleetCase):
    """A rack that is to hold less than everything."""

    def setUp(self) -> None:
        super().setUp()
        self.other = content(1000, seed=9)
        self.publish([self.other], of=NOBLE)
        self.small, self.large = self.enrol("small"), self.enrol("large")

    def restrict(self, *words: str) -> dict[str, object]:
        return finished(self.fleet.restrict_rack("small", words))

    def test_a_rack_gets_the_bytes_of_its_own_view_only(self) -> None:
        """Others are, for that rack, not there: neither bytes nor digests."""
        self.restrict("ubuntu/noble")
        for rack, sha256, may in (
            (self.small, self.root.sha256, False),
            (self.small, self.other.sha256, True),
            (self.large, self.root.sha256, True),
        ):
            self.assertEqual(finished(self.fleet.blob(rack, sha256)) is not None, may)
            self.assertEqual(finished(self.fleet.digests(rack, sha256)) is not None, may)

    def test_synced_means_its_own_view(self) -> None:
        """Each rack is compared with what it is to hold itself."""
        self.restrict("ubuntu/noble")
        for rack in (self.small, self.large):
            _, digest = finished(self.fleet.current_view(rack, ""))
            finished(self.fleet.report_sync(rack, 3, digest, ""))
        statuses = [row["status"] for row in finished(self.fleet.list_racks())]
        self.assertEqual(statuses, ["synced", "synced"])
        self.restrict("ubuntu/jammy")
        statuses = {row["name"]: row["status"] for row in finished(self.fleet.list_racks())}
        self.assertEqual(statuses, {"small": "out-of-sync", "large": "synced"})

    def test_what_it_is_to_hold_is_shown(self) -> None:
        """How many images and bytes, and which words mean nothing."""
        row = self.restrict("ubuntu/noble", "ubuntu/jamy")
        self.assertEqual((row["images"], row["size_bytes"]), (1, 1000))
        self.assertEqual(row["selections"], ["ubuntu/noble", "ubuntu/jamy"])
        self.assertIn("did you mean 'ubuntu/jammy'?", str(row["warning"]))
        row = self.restrict()
        self.assertEqual((row["images"], row["selections"]), (2, None))
        self.assertNotIn("warning", row)

    def test_a_malformed_restriction_changes_nothing(self) -> None:
        """It is refused before anything is written."""
        before = self.view()
        with self.assertRaises(WrongUsage):
            self.restrict("ubuntu/noble", "a//b")
        self.assertEqual(self.view(), before)
