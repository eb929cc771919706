"""Bits that change in a SQLite file behind everybody's back."""

import re
from pathlib import Path
from random import Random

from sqlalchemy import Connection, select, update

from regiond.store import blobs
from regiond.store.blobs import Blob
from regiond.store.tables import chunk

PAGE_BYTES = 65536
_PROBE_BYTES = 64


def page_of(file: Path, content: bytes, offset: int) -> int:
    """Where the page begins that holds these bytes of a stored content, which look random."""
    stored = file.read_bytes()
    place = stored.index(content[offset : offset + _PROBE_BYTES])
    return place - place % PAGE_BYTES


def flip(file: Path, place: int, bit: int = 0) -> None:
    """One bit of the byte at ``place`` changes."""
    with file.open("r+b") as opened:
        opened.seek(place)
        (byte,) = opened.read(1)
        opened.seek(place)
        opened.write(bytes([byte ^ 1 << bit]))


def flip_somewhere(file: Path, content: bytes, random: Random) -> None:
    """One bit of a stored content changes, wherever chance wants it.

    Also where a page has an old copy of the same bytes, which nobody reads.
    """
    stored = file.read_bytes()
    places: list[int] = []
    while not places:  # else these bytes go over the end of a page
        offset = random.randrange(len(content) - _PROBE_BYTES)
        probe = content[offset : offset + _PROBE_BYTES]
        places = [found.start() for found in re.finditer(re.escape(probe), stored)]
    place, bit = random.randrange(_PROBE_BYTES), random.randrange(8)
    for found in places:
        flip(file, found + place, bit)


def flip_first_bit(conn: Connection, of: Blob, seq: int) -> None:
    """Of a chunk, in whatever database (for ``Database.write``)."""
    place = chunk.c.id == blobs.first_chunk(of.id) + seq
    data = conn.execute(select(chunk.c.data).where(place)).scalar_one()
    changed = bytes([data[0] ^ 1]) + data[1:]
    conn.execute(update(chunk).where(place).values(data=changed))
