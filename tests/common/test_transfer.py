"""The rules of one transfer, without any bytes."""

from twisted.trial.unittest import SynchronousTestCase

from common.digests import CHUNK_BYTES
from common.errors import IntegrityError, SourceError, TransferError
from common.transfer import (
    RETRIED_STATUSES,
    Ask,
    Check,
    Finish,
    Forget,
    GiveUp,
    Goal,
    Head,
    Receive,
    Transfer,
    Wait,
)
from tests.doubles.streams import goal_of

SIZE = 3 * CHUNK_BYTES + 10
GOAL = Goal("a" * 64, SIZE, None, "image/file")
CUT = TransferError("cut", code="transfer-cut")


def content_range(first: int, size: int = SIZE) -> str:
    return f"bytes {first}-{size - 1}/{size}"


def asking(held: int = 0, origins: int = 1, max_attempts: int | None = None) -> Transfer:
    """A transfer that has just asked for the rest after ``held`` bytes."""
    rules = Transfer(GOAL, [f"origin-{n}" for n in range(origins)], max_attempts=max_attempts)
    rules.begin(held)
    return rules


def receiving(held: int = 0, **kinds: int) -> Transfer:
    """A transfer that is taking the rest after ``held`` bytes."""
    rules = asking(held, **kinds)
    rules.answered(Head(206, content_range(held)) if held else Head(200))
    return rules


class BeginTests(SynchronousTestCase):
    """``begin``."""

    def begin(self, held: int, goal: Goal = GOAL) -> object:
        return Transfer(goal, ["origin"]).begin(held)

    def test_asks_for_what_is_missing(self) -> None:
        """The first question is for the first byte that is not held."""
        self.assertEqual(self.begin(0), Ask(0, 0))
        self.assertEqual(self.begin(2 * CHUNK_BYTES), Ask(0, 2 * CHUNK_BYTES))

    def test_all_held_needs_no_question(self) -> None:
        """A complete blob, an empty one too, is only checked."""
        self.assertEqual(self.begin(SIZE), Check())
        self.assertEqual(self.begin(0, Goal("a" * 64, 0, None, "")), Check())

    def test_impossible_holdings_are_forgotten(self) -> None:
        """More than promised, or a broken chunk, is thrown away and fetched anew."""
        for held in (SIZE + 1, 5):
            rules = Transfer(GOAL, ["origin"])
            self.assertEqual(rules.begin(held), Forget())
            self.assertEqual(rules.forgotten(), Ask(0, 0))

    def test_a_digest_list_of_another_blob_is_refused(self) -> None:
        """With a list that does not end in the blob's name nothing is asked for."""
        effect = self.begin(0, Goal("a" * 64, SIZE, goal_of(b"x").digests, "thing"))
        assert isinstance(effect, GiveUp)
        self.assertEqual(
            (effect.error.code, effect.error.object), ("integrity-digest-list", "thing")
        )


class AnswerTests(SynchronousTestCase):
    """``answered``."""

    def test_the_exact_rest_is_taken(self) -> None:
        """206 with exactly the range asked for, or 200 to a question for all."""
        first = CHUNK_BYTES
        head = Head(206, content_range(first), SIZE - first)
        self.assertEqual(asking(first).answered(head), Receive(SIZE - first))
        self.assertEqual(asking().answered(Head(200, None, SIZE)), Receive(SIZE))
        self.assertEqual(asking().answered(Head(200)), Receive(SIZE))

    def test_200_to_a_range_starts_over_with_the_body_at_hand(self) -> None:
        """What is held is forgotten, and the same body brings everything."""
        rules = asking(CHUNK_BYTES)
        self.assertEqual(rules.answered(Head(200, None, SIZE)), Forget())
        self.assertEqual(rules.forgotten(), Receive(SIZE))
        self.assertEqual(rules.held_bytes, 0)

    def test_a_200_of_another_length_costs_nothing_held(self) -> None:
        """A stranger's page instead of the file does not destroy what is held."""
        rules = asking(CHUNK_BYTES)
        self.assertEqual(rules.answered(Head(200, None, 512)), Wait(1))
        self.assertEqual(rules.held_bytes, CHUNK_BYTES)

    def test_inexact_partial_answers_are_not_taken(self) -> None:
        """Another start, size, or no Content-Range at all is a failed attempt."""
        first = CHUNK_BYTES
        for wrong in (None, "bytes */5", content_range(0), content_range(first, SIZE + 1)):
            rules = asking(first, max_attempts=1)
            effect = rules.answered(Head(206, wrong, SIZE - first))
            assert isinstance(effect, GiveUp)
            self.assertEqual(effect.error.code, "transfer-range")

    def test_416_starts_over_once(self) -> None:
        """The first 416 forgets everything, the second is the origin's last word."""
        rules = asking(CHUNK_BYTES)
        self.assertEqual(rules.answered(Head(416)), Forget())
        self.assertEqual(rules.forgotten(), Ask(0, 0))
        effect = rules.answered(Head(416))
        assert isinstance(effect, GiveUp)
        self.assertEqual(effect.error.code, "transfer-http-416")

    def test_statuses_that_pass_are_tried_again(self) -> None:
        """Overload and failing servers are waited for; all else is final."""
        for status in range(100, 600):
            if status in {200, 206}:
                continue
            effect = asking().answered(Head(status))
            if status in RETRIED_STATUSES:
                self.assertEqual(effect, Wait(1), status)
            else:
                assert isinstance(effect, GiveUp)
                self.assertEqual(effect.error.code, f"transfer-http-{status}")


class FailureTests(SynchronousTestCase):
    """Attempts, rounds, origins."""

    def test_gives_up_with_the_last_reason(self) -> None:
        """After ``max_attempts`` failures without progress the last one is raised."""
        rules = asking(max_attempts=3)
        for n in (1, 2):
            self.assertEqual(rules.failed(CUT), Wait(n))
            self.assertEqual(rules.waited(), Ask(0, 0))
        effect = rules.answered(Head(503))
        assert isinstance(effect, GiveUp)
        self.assertEqual(effect.error.code, "transfer-http-503")
        self.assertEqual(effect.error.object, GOAL.object)

    def test_never_gives_up_without_a_limit(self) -> None:
        """``max_attempts`` None goes on for ever, in rounds that back off."""
        rules = asking()
        for n in range(1, 100):
            self.assertEqual(rules.failed(CUT), Wait(n))
            rules.waited()

    def test_progress_resets_the_count(self) -> None:
        """A chunk, or only a piece of one, that was never here before counts as progress."""
        rules = asking(max_attempts=2)
        for n in range(1, 20):
            rules.answered(Head(206, content_range(rules.offset)) if rules.offset else Head(200))
            self.assertEqual(rules.failed(CUT, tail_bytes=n), Wait(1))
            self.assertEqual(rules.waited(), Ask(0, n))

    def test_starting_over_is_no_progress(self) -> None:
        """An origin that ignores ranges and breaks off cannot keep a transfer for ever."""
        rules = receiving(max_attempts=3)
        rules.kept(2 * CHUNK_BYTES)
        effects = []
        effect: object = rules.failed(CUT)
        while not isinstance(effect, GiveUp):
            effects.append(effect)
            rules.waited()
            rules.answered(Head(200))
            rules.forgotten()
            rules.kept(CHUNK_BYTES)
            effect = rules.failed(CUT)
        self.assertEqual(effects, [Wait(1), Wait(2)])

    def test_the_next_origin_is_asked_at_once(self) -> None:
        """Origins are tried in turn without waiting; after a round there is a wait."""
        rules = asking(origins=3)
        self.assertEqual(rules.failed(CUT), Ask(1, 0))
        self.assertEqual(rules.answered(Head(503)), Ask(2, 0))
        self.assertEqual(rules.failed(CUT), Wait(1))
        self.assertEqual(rules.waited(), Ask(0, 0))

    def test_an_origin_that_said_no_is_not_asked_again(self) -> None:
        """A final answer rules out its origin only; the last one's is the transfer's."""
        rules = asking(origins=2)
        self.assertEqual(rules.answered(Head(404)), Ask(1, 0))
        self.assertEqual(rules.failed(CUT), Wait(1))
        self.assertEqual(rules.waited(), Ask(1, 0))
        refused = SourceError("redirected", code="source-redirect")
        self.assertEqual(rules.failed(refused), GiveUp(refused))

    def test_a_short_body_is_a_cut(self) -> None:
        """A proper end before the last byte is a failure that says how much is missing."""
        rules = receiving(max_attempts=1)
        rules.kept(CHUNK_BYTES)
        effect = rules.ended(10)
        assert isinstance(effect, GiveUp)
        self.assertEqual(effect.error.code, "transfer-cut")
        self.assertIn(str(2 * CHUNK_BYTES), effect.error.message)


class IntegrityTests(SynchronousTestCase):
    """Wrong chunks and wrong names."""

    def test_three_wrong_chunks_at_one_place_are_enough(self) -> None:
        """A wrong chunk is asked for again from its start, and the third is an error."""
        rules = receiving(CHUNK_BYTES)
        for n in (1, 2):
            self.assertEqual(rules.wrong_chunk(b"\1", b"\2"), Wait(n))
            self.assertEqual(rules.waited(), Ask(0, CHUNK_BYTES))
            rules.answered(Head(206, content_range(CHUNK_BYTES)))
        effect = rules.wrong_chunk(b"\1", b"\2")
        assert isinstance(effect, GiveUp)
        self.assertIsInstance(effect.error, IntegrityError)
        self.assertEqual(effect.error.code, "integrity-chunk")
        self.assertIn("chunk 1 ", effect.error.message)

    def test_a_right_chunk_takes_the_strikes_away(self) -> None:
        """On a line that damages a byte now and then, a transfer still ends well."""
        rules = receiving()
        for _ in range(2):
            rules.wrong_chunk(b"\1", b"\2")
            rules.waited()
            rules.answered(Head(206, content_range(rules.offset)) if rules.offset else Head(200))
            rules.kept(CHUNK_BYTES)
        self.assertEqual(rules.wrong_chunk(b"\1", b"\2"), Wait(1))

    def test_a_wrong_chunk_is_asked_for_elsewhere_at_once(self) -> None:
        """With a second origin, the first one's damage costs no waiting."""
        self.assertEqual(receiving(origins=2).wrong_chunk(b"\1", b"\2"), Ask(1, 0))

    def test_the_right_name_finishes(self) -> None:
        """All held and the promised SHA-256: done."""
        rules = receiving()
        rules.kept(SIZE)
        self.assertEqual(rules.ended(), Check())
        self.assertEqual(rules.named(GOAL.sha256), Finish())

    def test_a_wrong_name_starts_over_once(self) -> None:
        """Without a list, the first wrong blob is fetched anew; the second is an error."""
        rules = receiving()
        rules.kept(SIZE)
        rules.ended()
        self.assertEqual(rules.named("b" * 64), Forget())
        self.assertEqual(rules.forgotten(), Ask(0, 0))
        rules.answered(Head(200))
        rules.kept(SIZE)
        rules.ended()
        effect = rules.named("b" * 64)
        assert isinstance(effect, GiveUp)
        self.assertEqual(effect.error.code, "integrity-sha256")
        self.assertIn("a" * 64, effect.error.message)
        self.assertIn("b" * 64, effect.error.message)


class TableTests(SynchronousTestCase):
    """The table of states."""

    def test_a_driver_that_breaks_the_table_is_told(self) -> None:
        """An event that the state does not know is a bug, and raises."""
        self.assertRaises(RuntimeError, asking().begin, 0)
        self.assertRaises(RuntimeError, asking().kept, 1)
        self.assertRaises(RuntimeError, receiving().answered, Head(200))
        self.assertRaises(RuntimeError, receiving().named, "a" * 64)
        self.assertRaises(RuntimeError, asking().waited)
        self.assertRaises(RuntimeError, asking().forgotten)
        over = asking(max_attempts=1)
        over.failed(CUT)
        self.assertRaises(RuntimeError, over.failed, CUT)
