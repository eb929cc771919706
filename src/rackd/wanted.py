"""What the region wants a rack to hold: a view, and the images that it names."""

from typing import Protocol

import attrs
from twisted.internet.defer import DeferredSemaphore, FirstError, gatherResults

from common.errors import IntegrityError
from common.images import Image, View
from rackd.mirror import Mirrored

_DOCUMENTS_AT_ONCE = 8


class Documents(Protocol):
    """Where views and image documents come from."""

    async def document(self, sha256: str) -> bytes:
        """The document of that name, verified to be it."""


@attrs.frozen
class Wanted:
    """A view that was read whole.

    Attributes:
        view: itself.
        images: what is selected.
        mirrored: what mirrors show.
        kept: older versions to be had at hand.
    """

    view: View
    images: tuple[Image, ...] = ()
    mirrored: Mirrored = attrs.field(factory=Mirrored)
    kept: tuple[Image, ...] = ()


class ViewReader:
    """Reads views; remembers the images of the last one, most of which are those of the next."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._images: dict[str, Image] = {}

    async def read(self, digest: str) -> Wanted:
        """The view of that name.

        Raises:
            RackferryError: it cannot be had, or does not say what it should.
        """
        view = View.from_document(await self._documents.document(digest))
        names = [
            *(each.document_sha256 for each in view.images.values()),
            *view.mirror_only,
            *view.kept,
        ]
        turn = DeferredSemaphore(_DOCUMENTS_AT_ONCE)
        asked = [turn.run(self._image, name) for name in names]
        try:
            found = await gatherResults(asked, consumeErrors=True)
        except FirstError as error:
            error.subFailure.raiseException()
        finally:
            for each in asked:
                each.cancel()
        images: dict[str, Image] = dict(zip(names, found, strict=True))
        self._images = images
        return Wanted(
            view,
            tuple(
                _promised(images[promised.document_sha256], key, promised.version)
                for key, promised in view.images.items()
            ),
            Mirrored(view.documents, tuple(images[name] for name in view.mirror_only)),
            tuple(images[name] for name in view.kept),
        )

    async def _image(self, sha256: str) -> Image:
        image = self._images.get(sha256)
        if image is None:
            image = Image.from_document(await self._documents.document(sha256))
            self._images[sha256] = image
        return image


def _promised(image: Image, key: str, version: str) -> Image:
    """The image, if its document is of what the view says."""
    if (str(image.key), image.version) != (key, version):
        raise IntegrityError(
            f"its document is of {image.key} {image.version}",
            object=f"{key} {version}",
            remedy="the region's record of it is damaged: import it again there",
        )
    return image
