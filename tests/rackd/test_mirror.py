"""Tests of the rack's mirror: upstream paths, and what cannot stand at them."""

from pathlib import PurePosixPath

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.images import File, Image, SourceDocument
from rackd.mirror import Mirrored, lay_out_mirror
from rackd.planning import Holdings, lay_out, plan
from tests.doubles.following import JAMMY, NOBLE, FollowerCase
from tests.doubles.images import file_of, image_of, named_file

INDEX = "streams/v1/index.sjson"
PRODUCTS = "streams/v1/com.ubuntu.maas:stable:v3:download.sjson"


def document(word: str) -> SourceDocument:
    """A document whose SHA-256 stands for a word."""
    file = named_file("x", word)
    return SourceDocument(file.sha256, file.size_bytes, file.digests_sha256)


DOCUMENTS = {"1": {INDEX: document("index"), PRODUCTS: document("products")}}


def upstream(word: str, path: str, source: int | None = 1) -> File:
    """A file with its place upstream."""
    return attrs.evolve(named_file("file", word), source=source, upstream_path=path)


def jammy(*files: File, version: str = "1") -> Image:
    return image_of(JAMMY, *files, version=version)


class LayOutTests(SynchronousTestCase):
    """What stands where."""

    def test_documents_and_files_stand_at_their_upstream_paths(self) -> None:
        """Below the id of their source, whatever their names in the tree."""
        image = jammy(upstream("root", "jammy/amd64/20261101/squashfs"))
        mirror = lay_out_mirror([image], Mirrored(DOCUMENTS))
        self.assertEqual(
            {path: each.sha256 for path, each in mirror.files.items()},
            {
                f"mirror/1/{INDEX}": document("index").sha256,
                f"mirror/1/{PRODUCTS}": document("products").sha256,
                "mirror/1/jammy/amd64/20261101/squashfs": image.files[0].sha256,
            },
        )
        self.assertEqual(mirror.skipped, {})

    def test_superseded_images_stand_beside_those_that_replaced_them(self) -> None:
        """The documents still name them; the images' own tree does not have them."""
        new = jammy(upstream("new", "2/squashfs"), version="2")
        old = jammy(upstream("old", "1/squashfs"))
        layout = lay_out([new], Mirrored(DOCUMENTS, (old,)))
        self.assertEqual(set(layout.files), {f"{JAMMY}/file"})
        self.assertIn("mirror/1/1/squashfs", layout.mirror.files)
        self.assertIn("mirror/1/2/squashfs", layout.mirror.files)
        self.assertIn(old.files[0].sha256, layout.blobs)

    def test_uploads_and_sources_that_show_nothing_are_not_mirrored(self) -> None:
        """Without documents nobody could find the files."""
        image = jammy(named_file("file", "upload"), upstream("other", "2/x", source=2))
        self.assertEqual(set(lay_out_mirror([image], Mirrored({})).files), set())
        mirror = lay_out_mirror([image], Mirrored(DOCUMENTS))
        self.assertEqual(set(mirror.files), {f"mirror/1/{INDEX}", f"mirror/1/{PRODUCTS}"})

    def test_what_cannot_stand_at_its_path_is_skipped_with_a_reason(self) -> None:
        """It costs nothing else: the image itself is laid out, too."""
        for word, path in {
            "dotted": "../../etc/passwd",
            "absolute": "/etc/passwd",
            "in the documents' place": INDEX,
            "below a file": "good/below",
            "above a file": "deep",
            "long": "x" * 256,
        }.items():
            files = (upstream("good", "good"), upstream("deep", "deep/er"), upstream(word, path))
            names = [attrs.evolve(file, name=f"f{n}") for n, file in enumerate(files)]
            layout = lay_out([jammy(*names)], Mirrored(DOCUMENTS))
            self.assertEqual(set(layout.mirror.skipped), {f"mirror/1/{path}"}, word)
            self.assertEqual(len(layout.mirror.files), 4, word)
            self.assertEqual(len(layout.files), 3, word)

    def test_the_first_claim_of_a_path_counts(self) -> None:
        """An image comes before a superseded one; the same bytes are no contradiction."""
        new, old = jammy(upstream("new", "a/squashfs")), jammy(upstream("old", "a/squashfs"))
        mirror = lay_out_mirror([new], Mirrored(DOCUMENTS, (old, new)))
        self.assertEqual(mirror.files["mirror/1/a/squashfs"], new.files[0])
        self.assertEqual(set(mirror.skipped), {"mirror/1/a/squashfs"})

    def test_a_document_of_another_size_than_a_file_is_skipped(self) -> None:
        """One SHA-256 has one size: the images' word counts."""
        file = upstream("same", "a/squashfs")
        liar = attrs.evolve(document("same"), size_bytes=7)
        mirror = lay_out_mirror([jammy(file)], Mirrored({"1": {INDEX: liar}}))
        self.assertEqual(set(mirror.skipped), {f"mirror/1/{INDEX}"})

    @given(st.lists(st.text("ab/.", min_size=1, max_size=5), max_size=8))
    def test_no_path_is_a_file_and_a_directory(self, paths: list[str]) -> None:
        """Whatever upstream calls its files, the tree can be built, and stays below mirror/1."""
        files = [upstream(path, path) for path in paths]
        mirror = lay_out_mirror([jammy(*files)], Mirrored(DOCUMENTS))
        for path in mirror.files:
            self.assertTrue(path.startswith("mirror/1/"))
            self.assertNotIn("..", path.split("/"))
            for parent in PurePosixPath(path).parents:
                self.assertNotIn(str(parent), mirror.files)
        for path in paths:
            self.assertIn(f"mirror/1/{path}", {*mirror.files, *mirror.skipped})


class PlanTests(SynchronousTestCase):
    """What is fetched for it."""

    def test_documents_are_fetched_like_any_blob(self) -> None:
        """After the images; shared bytes once; nothing is fetched that is held."""
        image = jammy(upstream("root", "squashfs"))
        old = jammy(upstream("old", "old/squashfs"))
        mirrored = Mirrored(DOCUMENTS, (old,))
        made = plan([image], Holdings(free_bytes=4000), mirrored)
        self.assertEqual(
            [each.sha256 for each in made.fetch],
            [named_file("x", word).sha256 for word in ("root", "old", "index", "products")],
        )
        self.assertEqual((made.need_bytes, made.missing_bytes), (4000, 0))
        held = {each.sha256: each.size_bytes for each in made.fetch}
        self.assertEqual(plan([image], Holdings(cache=held), mirrored).fetch, ())


class SyncTests(FollowerCase):
    """A whole sync."""

    def source_document(self, raw: bytes) -> SourceDocument:
        file = file_of("x", raw)
        self.fetches.blobs[file.sha256] = raw
        return SourceDocument(file.sha256, len(raw), file.digests_sha256)

    def mirrored_image(self, word: str, version: str) -> Image:
        image = self.image(JAMMY, word, version=version)
        (file,) = image.files
        placed = attrs.evolve(file, source=1, upstream_path=f"{version}/squashfs")
        return attrs.evolve(image, files=(placed,))

    def tree(self) -> dict[str, bytes]:
        """What stands in the mirror that machines see."""
        root = self.images_dir / "current" / "mirror"
        found = (path for path in root.rglob("*") if path.is_file())
        return {str(path.relative_to(root)): path.read_bytes() for path in found}

    def follow(self, digest: str) -> None:
        self.follower.trigger()
        self.fetches.finish_all()
        self.assertEqual(self.library.held_view, digest)

    def test_a_rack_is_synced_when_it_holds_the_mirror_too(self) -> None:
        """Not before the last document is there; then documents and files stand together."""
        image = self.mirrored_image("old", "1")
        documents = {"1": {INDEX: self.source_document(b"first")}}
        digest = self.region.publish(1, image, documents=documents)
        self.follower.trigger()
        self.fetches.finish("file-old")
        self.assertEqual((self.library.held_view, self.tree()), ("", {}))
        self.fetches.finish_all()
        self.assertEqual(self.library.held_view, digest)
        self.assertEqual(self.tree(), {f"1/{INDEX}": b"first", "1/1/squashfs": b"old"})
        again = self.reopened()
        self.assertEqual(again.held_view, digest)

    def test_documents_and_files_flip_together(self) -> None:
        """While the documents are the old ones, the replaced version stays beside the new."""
        old, new = self.mirrored_image("old", "1"), self.mirrored_image("new", "2")
        first = {"1": {INDEX: self.source_document(b"first")}}
        second = {"1": {INDEX: self.source_document(b"second")}}
        self.follow(self.region.publish(1, old, documents=first))
        self.follow(self.region.publish(2, new, documents=first, superseded=[old]))
        self.assertEqual(
            self.tree(),
            {f"1/{INDEX}": b"first", "1/1/squashfs": b"old", "1/2/squashfs": b"new"},
        )
        self.follow(self.region.publish(3, new, documents=second))
        self.assertEqual(self.tree(), {f"1/{INDEX}": b"second", "1/2/squashfs": b"new"})
        shown = self.library.current.record.images  # type: ignore[union-attr]  # just shown
        self.assertEqual([each.version for each in shown], ["2"])

    def test_an_odd_path_is_an_event_and_costs_nothing_else(self) -> None:
        """The image is held, and the rest of the mirror."""
        image = self.image(NOBLE, "odd")
        (file,) = image.files
        odd = attrs.evolve(file, source=1, upstream_path="../../escape")
        documents = {"1": {INDEX: self.source_document(b"signed")}}
        self.follow(self.region.publish(1, attrs.evolve(image, files=(odd,)), documents=documents))
        self.assertIn("mirror-skipped", self.codes())
        self.assertEqual(self.tree(), {f"1/{INDEX}": b"signed"})
        self.assertEqual((self.images_dir / "current" / NOBLE / "file-odd").read_bytes(), b"odd")

    def test_a_newer_view_lets_go_of_documents_that_it_does_not_show(self) -> None:
        """Their transfers end; what the newer view shows goes on."""
        image = self.mirrored_image("old", "1")
        first, second = self.source_document(b"first"), self.source_document(b"second")
        self.follow(self.region.publish(1, image))
        self.region.publish(2, image, documents={"1": {INDEX: first, PRODUCTS: second}})
        self.follower.trigger()
        self.assertEqual(set(self.fetches.running), {first.name, second.name})
        self.region.publish(3, image, documents={"1": {INDEX: second}})
        self.follower.trigger()
        self.assertEqual(self.fetches.cancelled, [first.name])
        self.fetches.finish_all()
        self.assertEqual(self.tree()[f"1/{INDEX}"], b"second")
