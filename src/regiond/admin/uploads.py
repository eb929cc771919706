"""The admin socket's door for bytes: at most one upload at a time on a connection."""

from collections.abc import Mapping
from typing import Any

from common.commands import CloseUpload, OpenUpload, WriteUpload
from common.conversation import Table
from common.errors import ProtocolError
from regiond.uploads import Upload, Uploads


class UploadDoor:
    """One connection's part of it."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads
        self._upload: Upload | None = None
        self._is_open = False
        self.table: Table = {
            OpenUpload: self.open,
            WriteUpload: self.write,
            CloseUpload: self.close,
        }

    async def open(self, sha256: str, size_bytes: int) -> Mapping[str, Any]:
        """How much of these bytes is held."""
        await self._give_up()
        self._upload = await self._uploads.open(sha256, size_bytes)
        self._is_open = True
        return {"held_bytes": size_bytes if self._upload is None else self._upload.held_bytes}

    async def write(self, offset: int, piece: bytes) -> Mapping[str, Any]:
        """Take the next bytes."""
        if self._upload is None:
            raise ProtocolError("nothing is to be sent", code="upload-not-open")
        await self._upload.write(offset, piece)
        return {}

    async def close(self) -> Mapping[str, Any]:
        """Complete what was sent; all of it is there already if nothing had to be."""
        if not self._is_open:
            raise ProtocolError("nothing is being sent", code="upload-not-open")
        if self._upload is not None:
            await self._upload.finish()
        await self._give_up()
        return {}

    async def _give_up(self) -> None:
        upload, self._upload = self._upload, None
        self._is_open = False
        if upload is not None:
            await self._uploads.close(upload)
