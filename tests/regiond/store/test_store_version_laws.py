"""Laws of what racks are to hold, whatever is done in whatever order."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection
from twisted.trial.unittest import SynchronousTestCase

from common.errors import RackferryError
from common.images import Image, View
from regiond.housekeeping import GARBAGE_GRACE_S
from regiond.store import (
    blobs,
    canaries,
    garbage,
    generations,
    images,
    pins,
    promotions,
    publication,
    rack_views,
    racks,
)
from regiond.store import settings as stored_settings
from regiond.store.database import Database
from regiond.store.images import StoredImage
from regiond.store.kept import VERSIONS
from tests.doubles.stores import NOW, Store, _empty_file, content, finished, key

T = TypeVar("T")
RACKS = ("canary", "other", "small")
KEYS = (key("jammy"), key("noble"))
HOUR_S = 3600.0

_IMAGE = st.integers(0, 30)
STEPS = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from(KEYS), st.integers(0, 5)),
    st.tuples(st.sampled_from(["pin", "unpin", "roll_back", "delete", "let_go"]), _IMAGE),
    st.tuples(
        st.just("canary"),
        st.sets(st.sampled_from(RACKS)),
        st.sampled_from([HOUR_S, 2 * HOUR_S, canaries.BY_ADMIN]),
    ),
    st.tuples(st.sampled_from(["promote", "clean_up", "well"])),
    st.tuples(st.just("wait"), st.sampled_from([0.5 * HOUR_S, HOUR_S, 4 * HOUR_S])),
    st.tuples(
        st.just("restrict"), st.sampled_from(RACKS), st.sampled_from([(), ("*/jammy",), ("none",)])
    ),
    st.tuples(st.just("keep"), st.integers(1, 3)),
)


_KEPT = [("keep", 3), ("publish", KEYS[0], 1), ("publish", KEYS[0], 2)]
_TRIED = [*_KEPT, ("canary", {"canary"}, HOUR_S), ("publish", KEYS[0], 3)]
BEGINNINGS: st.SearchStrategy[list[tuple[Any, ...]]] = st.sampled_from([[], _KEPT, _TRIED])
TAKE_AWAY = frozenset({"delete", "let_go", "restrict", "canary"})
"""The steps after which a rack may be without an image that it had."""


class History(Store):
    """A store, and what is done to it."""

    def __init__(self, directory: Path) -> None:
        file = directory / "regiond.db"
        shutil.copy(_empty_file(), file)
        self.database = Database(f"sqlite:///{file}", None)
        finished(self.database.open())
        self.now = NOW
        self.pinned: set[int] = set()
        self.views: tuple[int, dict[str, str]] = (0, {})
        self.shown: dict[str, dict[str, str]] = {name: {} for name in RACKS}
        self.take_lease()
        for name in RACKS:
            self.write(lambda conn, name=name: racks._active_rack(conn, name, NOW))

    def do(self, step: tuple[Any, ...]) -> None:
        """One step; refusals are fine."""
        try:
            getattr(self, f"do_{step[0]}")(*step[1:])
        except RackferryError:
            return

    def shown_now(self) -> dict[str, dict[str, str]]:
        """The version of each image that each rack is to show."""
        return self.read(self._shown)

    @staticmethod
    def _shown(conn: Connection) -> dict[str, dict[str, str]]:
        found = {}
        for name in RACKS:
            _, digest = generations.current_view(conn, name)
            document = generations.read_document(conn, digest)
            view = View.from_document(document) if document else View(0)
            found[name] = {of: each.version for of, each in view.images.items()}
        return found

    def image(self, place: int) -> StoredImage:
        found = self.read(images.list_images, ("published", "kept", "retired"))
        return sorted(found, key=lambda each: each.id)[place % max(1, len(found))] if found else (
            self.read(images.image_details, 99)
        )  # fmt: skip

    def do_publish(self, of: Any, number: int) -> None:
        self.publish([content(10, seed=number), content(11, seed=9)], str(number), of, self.now)

    def do_pin(self, place: int) -> None:
        found = self.image(place)
        self.write(pins.pin, found.id, self.now)
        self.pinned.add(found.id)

    def do_unpin(self, place: int) -> None:
        found = self.image(place)
        self.write(pins.unpin, found.id, self.now)
        self.pinned.discard(found.id)

    def do_roll_back(self, place: int) -> None:
        done = self.write(pins.roll_back, self.image(place).id, self.now)
        self.pinned.discard(done.before.id if done.before else 0)
        self.pinned.add(done.now.id)
        for shown in self.shown_now().values():
            of = str(done.now.key)
            assert shown.get(of, done.now.version) == done.now.version, "not on all racks at once"

    def do_delete(self, place: int) -> None:
        self.write(publication.retire_images, [self.image(place).id], None, self.now)

    def do_let_go(self, place: int) -> None:
        self.write(publication.retire_images, [self.image(place).id], self.epoch, self.now)

    def do_canary(self, names: set[str], after: canaries.After) -> None:
        self.write(promotions.change, names, after, self.now)

    def do_promote(self) -> None:
        self.write(promotions.change, None, None, self.now, promotes=True)

    def do_well(self) -> None:
        for name in RACKS:
            number, digest = self.read(generations.current_view, name)
            self.write(racks.report_sync, name, number, digest, None, self.now)
        self.write(promotions.promote_due, self.now)

    def do_wait(self, seconds: float) -> None:
        self.now += seconds
        self.write(promotions.promote_due, self.now)

    def do_restrict(self, name: str, words: tuple[str, ...]) -> None:
        self.write(generations.restrict_rack, name, words or None, self.now)

    def do_keep(self, versions: int) -> None:
        self.write(stored_settings.put, VERSIONS, versions, self.now)

    def do_clean_up(self) -> None:
        self.write(generations.let_surplus_go, self.now)
        self.write(images.forget_retired, self.now)
        self.write(generations.prune, self.now)
        for _ in range(2):
            finished(garbage.collect(self.database, self.now, GARBAGE_GRACE_S))
            self.now += GARBAGE_GRACE_S


class VersionLaws(SynchronousTestCase):
    @settings(max_examples=30)
    @example([("publish", KEYS[0], 1), ("canary", {"canary"}, HOUR_S)], [("publish", KEYS[0], 1)])
    @given(BEGINNINGS, st.lists(STEPS, max_size=10))
    def test_whatever_is_done(
        self, beginning: list[tuple[Any, ...]], steps: list[tuple[Any, ...]]
    ) -> None:
        """Views are whole and served, pins hold, numbers only rise, one version per image."""
        directory = Path(tempfile.mkdtemp(prefix="rf-laws-"))
        history = History(directory)
        try:
            for step in (*beginning, *steps):
                history.do(step)
                self.check(history)
                self.check_shown(history, may_lose=step[0] in TAKE_AWAY)
        finally:
            finished(history.database.close())
            shutil.rmtree(directory)

    def check(self, history: History) -> None:
        number, views = history.read(generations.current_views)
        digests = {name: views.of(name) for name in RACKS}
        before, had = history.views
        self.assertGreaterEqual(number, before)
        self.assertTrue(number > before or digests == had or not had)
        history.views = number, digests
        if number:
            for name in RACKS:
                history.read(self.check_view, history, name, digests[name])
        self.check_rows(history)

    def check_shown(self, history: History, *, may_lose: bool) -> None:
        """No rack is without an image because of a newer one, of a clean-up or of time."""
        before, history.shown = history.shown, history.shown_now()
        for name, had in before.items():
            self.assertTrue(may_lose or had.keys() <= history.shown[name].keys())

    def check_view(self, conn: Connection, history: History, name: str, digest: str) -> None:
        """A rack can have every byte that its view names, and shows nothing that was retired."""

        def read(work: Callable[..., T], *args: Any) -> T:
            return work(conn, *args)

        view = View.from_document(read(generations.read_document, digest) or b"")
        words = read(racks.rack_named, name).selections
        held = [each for each in read(images.list_images) if each.state in {"published", "kept"}]
        audience = read(rack_views.audiences).get(name, rack_views.Audience())
        for shown, documents in (
            (True, [each.document_sha256 for each in view.images.values()]),
            (False, [*view.mirror_only, *view.kept]),
        ):
            for sha256 in documents:
                image = Image.from_document(read(generations.read_document, sha256) or b"")
                # The same version may have been published again, and be described by the same.
                described = [each for each in held if each.document_sha256 == sha256]
                self.assertTrue(described)
                if shown:
                    theirs = [
                        each.state == "published" if audience.is_canary else each.settled
                        for each in described
                    ]
                    self.assertTrue(any(theirs), f"{name} shows {image.version}")
                for file in image.files:
                    blob = read(blobs.find_blob, file.sha256)
                    assert blob is not None
                    self.assertTrue(blob.is_complete)
                    self.assertTrue(read(images.is_blob_in_view, file.sha256, words, history.now))

    def check_rows(self, history: History) -> None:
        """Of an image one version is published and one settled; pins hold; who waits is known."""
        held = history.read(images.list_images, ("published", "kept"))
        for of in KEYS:
            versions = [each for each in held if each.key == of]
            self.assertLessEqual(sum(each.state == "published" for each in versions), 1)
            self.assertLessEqual(sum(each.settled for each in versions), 1)
        published = {each.id: each for each in held if each.state == "published"}
        self.assertLessEqual(history.pinned, published.keys())
        self.assertEqual({i for i, each in published.items() if each.pinned}, history.pinned)
        waiting = history.read(canaries.waiting)
        if not history.read(canaries.names):
            self.assertEqual(waiting, ())
            self.assertTrue(all(each.settled for each in published.values()))
