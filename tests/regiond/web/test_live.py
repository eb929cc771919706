"""Open pages are kept up to date."""

import json
from typing import Any

from markupsafe import Markup
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from common.errors import Busy, StorageError
from regiond.web.guard import form_token
from regiond.web.live import HEARTBEAT_S, MOST_REMEMBERED, MOST_WATCHERS, TICK_S, Live
from regiond.web.rendering import Page
from regiond.web_sessions import WebSession

SESSION = WebSession("a" * 64, "alice", 0.0, 0.0)


class Stream:
    """A browser's end of a stream.

    Attributes:
        messages: what came, in order, without comments.
        beats: how many comments came.
    """

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.beats = 0
        self.is_finished = False
        self.producer: Any = None
        self._left: Deferred[None] = Deferred()

    def write(self, data: bytes) -> None:
        for each in data.decode().split("\n\n"):
            if each.startswith("data: "):
                self.messages.append(json.loads(each.removeprefix("data: ")))
            elif each.startswith("event: "):
                self.messages.append(each.partition("\n")[0].removeprefix("event: "))
            elif each.startswith(":"):
                self.beats += 1

    def notifyFinish(self) -> Deferred[None]:
        return self._left

    def registerProducer(self, producer: object, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def finish(self) -> None:
        self.is_finished = True
        self.leave()

    def leave(self) -> None:
        """The browser goes away."""
        if not self._left.called:
            self._left.callback(None)


class LiveTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.rows = {"r1": "one", "r2": "two"}
        self.said = "idle"
        self.built: list[tuple[str, dict[str, str], bool]] = []
        self.pulse = 0
        self.takes_s = 0.0
        self.alive = True
        self.held: Deferred[None] | None = None
        self.error: Exception | None = None
        self.live = Live(self.build, self.is_alive, lambda: self.pulse, self.clock)
        self.live.startService()
        self.addCleanup(self.live.stopService)

    async def build(self, title: str, query: dict[str, str], *, logged_in: bool) -> Page:
        self.built.append((title, query, logged_in))
        self.clock.rightNow += self.takes_s
        if self.held is not None:
            await self.held
        if self.error is not None:
            raise self.error
        rows = {name: Markup(f'<tr id="{name}">{text}</tr>') for name, text in self.rows.items()}
        part = Markup(f'<p id="said">{self.said}<input value="<token>"></p>')
        return Page(title, "", "/live", parts={"said": part}, rows={"table": rows})

    async def is_alive(self, session: WebSession) -> bool:
        return self.alive

    def watch(
        self, title: str = "Images", session: WebSession | None = SESSION, seen: str = ""
    ) -> Stream:
        stream = Stream()
        request: Any = stream
        self.live.watch(request, title, {}, session, "secret" if session else "", seen=seen)
        self.clock.advance(TICK_S)
        return stream

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK_S)):
            self.clock.advance(TICK_S)

    def test_the_first_message_is_the_whole_page(self) -> None:
        """So whoever comes back after a restart has the present, and nothing else."""
        (message,) = self.watch().messages
        self.assertTrue(message["whole"])
        self.assertEqual(set(message["set"]), {"said", "r1", "r2"})
        self.assertEqual(message["rows"], {"table": ["r1", "r2"]})

    def load(self) -> str:
        """The revision of a page that a browser loads."""
        page: Page = self.successResultOf(
            Deferred.fromCoroutine(self.live.page("Images", {}, logged_in=True))
        )
        return page.revision

    def test_what_the_page_shows_is_not_sent_again(self) -> None:
        """Nor built again, as long as nothing has changed."""
        seen = self.load()
        self.built.clear()
        stream = self.watch(seen=seen)
        self.wait(5)
        self.assertEqual((stream.messages, self.built), ([], []))

    def test_what_changed_while_the_page_came_is_sent(self) -> None:
        """That alone: by the change feed, or by what moves by itself."""
        seen = self.load()
        self.rows["r2"] = "other"
        self.live.note_change()
        (message,) = self.watch(seen=seen).messages
        changed = {"r2": '<tr id="r2">other</tr>'}
        self.assertEqual((message["set"], message["gone"], message["rows"]), (changed, [], {}))
        self.said, self.pulse = "moved", 1
        self.wait(1)
        (message,) = self.watch(seen=message["seen"]).messages
        self.assertEqual(set(message["set"]), {"said"})

    def test_whoever_comes_back_gets_what_it_missed(self) -> None:
        """From the last message on, if that was not long ago; or else everything."""
        (first,) = self.watch().messages
        del self.rows["r1"]
        self.live.note_change()
        (message,) = self.watch(seen=first["seen"]).messages
        self.assertEqual((message["set"], message["gone"], message["rows"]), ({}, ["r1"], {}))
        for number in range(MOST_REMEMBERED):
            self.said = str(number)
            self.load()
        (message,) = self.watch(seen=first["seen"]).messages
        self.assertEqual(set(message["set"]), {"said", "r2"})

    def test_forms_have_the_token_of_their_session(self) -> None:
        """Each browser its own; none without a login."""
        self.assertIn(f'value="{form_token("secret")}"', self.watch().messages[0]["set"]["said"])
        self.assertIn('value=""', self.watch(session=None).messages[0]["set"]["said"])

    def test_then_only_what_has_changed(self) -> None:
        """A row that is new, another, or gone; nothing where nothing changed."""
        stream = self.watch()
        self.rows = {"r2": "two", "r3": "three"}
        self.live.note_change()
        self.wait(1)
        self.assertEqual(
            stream.messages[1:],
            [
                {
                    "seen": stream.messages[1]["seen"],
                    "whole": False,
                    "set": {"r3": '<tr id="r3">three</tr>'},
                    "gone": ["r1"],
                    "rows": {"table": ["r2", "r3"]},
                }
            ],
        )
        self.live.note_change()
        self.wait(1)
        self.assertEqual(len(stream.messages), 2)

    def test_a_page_that_is_loaded_anew_while_it_is_built_is_followed_once(self) -> None:
        """However often: one look at a time, and none left over when everybody has gone."""
        self.held = Deferred()
        streams = []
        for _ in range(3):
            streams.append(self.watch())
            streams[-1].leave()
        self.watch()
        self.assertEqual(len(self.built), 1)
        self.held.callback(None)
        self.held = None
        self.wait(2)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_a_flood_of_changes_is_two_messages_a_second(self) -> None:
        """However many there are."""
        stream = self.watch()
        for number in range(1000):
            self.said = str(number)
            self.live.note_change()
            self.clock.advance(0.01)
        self.assertLessEqual(len(stream.messages), 1 + 10 / TICK_S)
        self.assertGreater(len(stream.messages), 10)

    def test_what_moves_by_itself_is_looked_at(self) -> None:
        """Progress is in no change feed."""
        stream = self.watch()
        for number in range(3):
            self.said, self.pulse = f"moved {number}", number + 1
            self.wait(1)
        self.assertEqual(len(stream.messages), 4)

    def test_a_page_that_takes_long_is_built_less_often(self) -> None:
        """Open pages get a fifth of the time, and no more, however large the site."""
        self.watch()
        self.takes_s = 2.0
        self.built.clear()
        for _ in range(100):
            self.live.note_change()
            self.clock.advance(TICK_S)
        self.assertLessEqual(len(self.built) * self.takes_s, self.clock.seconds() / 5 + 2.0)
        self.assertGreater(len(self.built), 5)

    def test_one_page_is_built_for_all(self) -> None:
        """Not once for each browser."""
        for _ in range(5):
            self.watch()
        self.watch("Racks")
        self.built.clear()
        self.live.note_change()
        self.wait(TICK_S)
        self.assertEqual(sorted(self.built), [("Images", {}, True), ("Racks", {}, True)])

    def test_nobody_looks_and_nothing_is_done(self) -> None:
        """No timer, and no page is built."""
        stream = self.watch()
        stream.leave()
        self.built.clear()
        self.live.note_change()
        self.clock.advance(TICK_S)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.built, [])

    def test_whoever_reads_slowly_gets_the_present(self) -> None:
        """What happened meanwhile is not kept for them."""
        stream = self.watch()
        stream.producer.pauseProducing()
        for number in range(100):
            self.said = str(number)
            self.live.note_change()
            self.wait(TICK_S)
        self.assertEqual(len(stream.messages), 1)
        stream.producer.resumeProducing()
        self.wait(TICK_S)
        self.assertEqual(len(stream.messages), 2)
        self.assertIn("99", stream.messages[1]["set"]["said"])

    def test_it_ends_with_the_session(self) -> None:
        """Within a heartbeat; who needs no login stays."""
        stream, reader = self.watch(), self.watch(session=None)
        self.wait(HEARTBEAT_S)
        self.assertEqual((stream.beats, stream.is_finished), (2, False))
        self.alive = False
        self.wait(HEARTBEAT_S)
        self.assertEqual((stream.messages[-1], stream.is_finished), ("ended", True))
        self.assertFalse(reader.is_finished)

    def test_there_are_so_many_and_no_more(self) -> None:
        """The next one is told so."""
        for _ in range(MOST_WATCHERS):
            self.live.admit()
            self.watch()
        with self.assertRaises(Busy) as caught:
            self.live.admit()
        self.assertEqual(caught.exception.code, "web-watchers")

    def test_a_database_that_fails_once_ends_nothing(self) -> None:
        """The next change is shown."""
        stream = self.watch()
        self.error = StorageError("busy")
        self.live.note_change()
        self.wait(TICK_S)
        self.error = None
        self.said = "well"
        self.live.note_change()
        self.wait(TICK_S)
        self.assertIn("well", stream.messages[-1]["set"]["said"])

    def test_a_daemon_that_stops_sends_everybody_away(self) -> None:
        """Browsers come back by themselves."""
        stream = self.watch()
        self.live.stopService()
        self.assertTrue(stream.is_finished)
        self.assertEqual(self.clock.getDelayedCalls(), [])
