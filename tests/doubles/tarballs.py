"""Bootloader archives for tests, good ones and ones that nobody should unpack."""

import io
import lzma
import tarfile


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """A header that says what the test wants it to say."""
    header = tarfile.TarInfo(name)
    header.type = kind
    header.linkname = link
    return header


def tarball(
    *members: tuple[str | tarfile.TarInfo, bytes], format: int = tarfile.GNU_FORMAT
) -> bytes:
    """A tar.xz of these members."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=format) as tar:
        for name, content in members:
            header = name if isinstance(name, tarfile.TarInfo) else entry(name)
            if header.isreg():
                header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return lzma.compress(plain.getvalue(), lzma.FORMAT_XZ)
