"""Uploaded images that a bundle brings: nobody signed them, so an admin has to say that they count.

They become custom images of this region as if they were created here: same names, same file
types, a version of this region's own, and not a byte that is held already is read.
"""

from common.bundles import BundleFile, BundleImage
from common.commands import BLOB_PIECE_BYTES
from common.custom_names import CUSTOM
from common.errors import Refused
from common.file_types import FILE_TYPES
from common.verbs import BlobName
from regiond.bundle import Bundle, BundleOrigin
from regiond.custom_images import CustomImages, Wanted
from regiond.uploads import Uploads

_FILE_TYPE_OF = {filetype.name: word for word, filetype in FILE_TYPES.items()}


class BundledUploads:
    """The use-case.

    Args:
        uploads: keeps the bytes.
        custom_images: makes images of them.
    """

    def __init__(self, uploads: Uploads, custom_images: CustomImages) -> None:
        self._uploads = uploads
        self._custom_images = custom_images

    async def take(self, bundle: Bundle, image: BundleImage) -> int:
        """Create one of a bundle's uploaded images; how many bytes were read for it.

        Raises:
            Refused: code ``bundle-upload``; it is not what an upload can be.
            NotFound, SourceError: the bundle does not give its file.
            IntegrityError: its file has other bytes than the manifest says.
            RackferryError: as ``Uploads`` and ``CustomImages`` say.
        """
        wanted, path = wanted_of(image), image.files[0].path
        await self._custom_images.check(wanted)
        file = bundle.manifest.files[path]
        read_bytes = await self._bring(bundle.origin_at(path, file.size_bytes), file)
        await self._custom_images.create(wanted, BlobName(file.sha256, file.size_bytes))
        return read_bytes

    async def _bring(self, origin: BundleOrigin, file: BundleFile) -> int:
        upload = await self._uploads.open(file.sha256, file.size_bytes)
        if upload is None:
            return 0
        try:
            first = at = upload.held_bytes
            while at < file.size_bytes:
                piece, _ = await origin.piece(at, min(BLOB_PIECE_BYTES, file.size_bytes - at))
                await upload.write(at, piece)
                at += len(piece)
            await upload.finish()
        finally:
            await self._uploads.close(upload)
        return at - first


def wanted_of(image: BundleImage) -> Wanted:
    """What would be typed to create such an image.

    Raises:
        Refused: code ``bundle-upload``.
    """
    filetypes = [_FILE_TYPE_OF.get(file.name) for file in image.files]
    if len(filetypes) != 1 or filetypes[0] is None:
        raise Refused(
            "is no image that can be uploaded",
            object=str(image.key),
            code="bundle-upload",
            remedy="write the bundle anew: boot-resources export",
        )
    key = image.key
    return Wanted(
        name=key.release if key.os == CUSTOM else f"{key.os}/{key.release}",
        architecture=f"{key.arch}/{key.subarch}",
        filetype=filetypes[0],
        title=image.title,
        base_image=image.base_image,
    )
