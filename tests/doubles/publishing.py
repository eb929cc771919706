"""A store with images that were published, and what is said of them."""

from common.digests import CHUNK_BYTES, sha256_hex
from common.images import Image, View
from regiond.store import generations
from tests.doubles.stores import Store, content

KERNEL = content(10, seed=1)
SQUASHFS = content(CHUNK_BYTES + 10, seed=2)
NEWER = content(11, seed=3)


class PublishedStore(Store):
    """What suites of published images use. The lease is taken."""

    def setUp(self) -> None:
        super().setUp()
        self.take_lease()

    def view(self) -> View:
        _, digest = self.read(generations.current_generation)
        return View.from_document(self.read(generations.read_document, digest))

    def image_document(self) -> Image:
        (entry,) = self.view().images.values()
        document = self.read(generations.read_document, entry.document_sha256)
        self.assertEqual(sha256_hex(document), entry.document_sha256)
        return Image.from_document(document)
