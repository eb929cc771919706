"""Small images, files and blobs for tests."""

import hashlib
import random

from common.digests import CHUNK_BYTES, digest_list, sha256_hex
from common.images import File, Image, ImageKey


def content(size_bytes: int, seed: int = 0) -> bytes:
    """Bytes that no compressor likes, the same for the same seed."""
    return random.Random(seed).randbytes(size_bytes)


def digests_of(blob: bytes) -> bytes:
    """The digest list of a whole blob."""
    return digest_list(blob[at : at + CHUNK_BYTES] for at in range(0, len(blob), CHUNK_BYTES))


def file_of(name: str, blob: bytes) -> File:
    """The file that has these bytes."""
    return File(name, name, sha256_hex(blob), len(blob), sha256_hex(digests_of(blob)))


def named_file(name: str, word: str, size_bytes: int = 1000) -> File:
    """A file whose SHA-256 stands for a word; nobody has its bytes."""
    sha256 = hashlib.sha256(word.encode()).hexdigest()
    return File(name, name, sha256, size_bytes, hashlib.sha256(sha256.encode()).hexdigest())


def image_of(key: str, *files: File, version: str = "20261121", **further: object) -> Image:
    """An image with these files."""
    return Image(ImageKey.parse(key), version, files, **further)  # type: ignore[arg-type]  # the caller names them
