"""Answers about bundles: images that are carried to, or from, a region without a network."""

from functools import partial
from typing import Any

from twisted.internet.interfaces import IReactorTime

from common.asking import Shell
from common.canonical import plain
from common.commands import ReadBlob
from common.conversation import Table
from common.custom_names import LABEL
from common.images import ImageKey
from common.meanwhile import meanwhile
from common.vocabulary import Question
from regiond.admin.asked import Tell
from regiond.admin.images import PROGRESS_INTERVAL_S, import_row, tell_of_import
from regiond.bundle_imports import BundleImports
from regiond.exports import Exports
from regiond.import_service import ImportResult
from regiond.importer import Importer
from regiond.pieces import Pieces
from regiond.region import Region


class BundleAnswers:
    """What is answered about bundles."""

    def __init__(
        self,
        exports: Exports,
        bundles: BundleImports,
        importer: Importer,
        region: Region,
        clock: IReactorTime,
    ) -> None:
        self._exports = exports
        self._bundles = bundles
        self._importer = importer
        self._region = region
        self._clock = clock

    async def boot_resources_export(self, question: Question, _: Tell) -> Any:
        images = question.parameters.get("images")
        words = [word for word in images if word] if isinstance(images, list) else []
        return {"manifest": plain(await self._exports.manifest(words))}

    async def boot_resources_import_bundle(self, question: Question, shell: Shell) -> Any:
        source = question.parameters.get("source")
        source_id = None if source is None else int(str(source))
        uploads = "uploads" in question.flags
        taking = self._bundles.take(shell.read, source_id, with_uploads=uploads)
        say = partial(tell_of_import, self._importer, self._region, shell)
        result = await meanwhile(taking, say, PROGRESS_INTERVAL_S, self._clock)
        return import_row(result) | {"message": "" if uploads else _uploads_left_out(result)}


def _uploads_left_out(result: ImportResult) -> str:
    """What to add so that the uploaded images of a bundle are taken, too; "" if it has none."""
    count = sum(ImageKey.parse(key).label == LABEL for key in result.left_out)
    if not count:
        return ""
    what = "1 uploaded image is" if count == 1 else f"{count} uploaded images are"
    return f"{what} left out, since nobody signs uploads; add: uploads"


def blob_door(exports: Exports, clock: IReactorTime) -> Table:
    """The blobs that one shell reads: what its connection may ask besides."""
    return {ReadBlob: Pieces(exports.blob, clock, _at_once).read}


async def _at_once(most_bytes: int) -> int:
    """Limits are for what goes over a network."""
    return most_bytes
