"""HTTP for machines, read-only.

* ``/images/...`` from the snapshot on which the client's address began (``rackd.pins``),
  else from the current one. ``/images/boot.ipxe`` is always the current one's: it begins a
  boot. A rack that has no snapshot yet says so in it.
* ``/generations/<n>/...`` by number, from every snapshot that is still on the disk.
* ``/mirror/<source id>/...`` from the current snapshot (``rackd.mirror``); a file that is not
  there any more from an older one, for those who began before it changed.

What a path means is looked up in the snapshot's record, and the bytes are opened in the
cache by their SHA-256: no path of a request ever reaches the file system, so none can lead
out of the tree or through a link. A file is opened once per request, so neither a flip nor
a clean-up disturbs a read that has begun.
"""

import contextlib
import html
import os
import re
import threading
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import Request

from common import durable
from common.digests import CHUNK_BYTES
from common.errors import Busy, NotFound, StorageError, WrongUsage
from common.metrics import Tally
from common.names import is_item_path, is_mirror_path
from common.pools import Threads
from common.serving import answering, content_type_of, serve
from common.sites import QuietSite
from rackd.library import Library, blob_damaged
from rackd.menus import MenuSettings, ipxe_script
from rackd.metrics_table import SERVED_BYTES, SERVED_FILES
from rackd.mirror import may_be_older
from rackd.pins import Pins
from rackd.records import HeldFile, Record
from rackd.sendfile import SocketOutlet
from rackd.snapshot import Snapshot

_ROOT = re.compile(r"/images/|/generations/(\d{1,19})/|/(?=mirror/)")
_MIRRORS = "/"  # the root before "mirror/..."
_BEGINNING = "boot.ipxe"
_NO_CACHE = "no-cache"


class CachedFile:
    """A finished blob, open for one request (``common.serving.ByteSource``).

    Args:
        path: its place in the cache.
        file: what must be there.
        on_disk: runs the reads.
        content_type: what it is.
    """

    def __init__(
        self,
        path: Path,
        file: HeldFile,
        on_disk: Threads,
        content_type: str = "application/octet-stream",
    ) -> None:
        self.content_type = content_type
        self.size_bytes = file.size_bytes
        self.etag = f'"{file.sha256}"'
        self._path = path
        self._on_disk = on_disk
        self._fd = -1
        self._is_closed = False
        self._turn = threading.Lock()

    def open(self) -> None:
        """On a disk thread.

        Raises:
            StorageError: it is not there, or is not what its name says.
        """
        with self._turn:
            if self._is_closed:  # the reader left while the disk was slow
                raise StorageError("is not wanted any more", object=str(self._path))
            self._fd = durable.open_for_reading(self._path)
            found_bytes = os.fstat(self._fd).st_size
        if found_bytes != self.size_bytes:
            raise blob_damaged(self._path, f"has {found_bytes} bytes, not {self.size_bytes}")

    async def read_chunk(self, seq: int) -> bytes:
        """Chunk ``seq``; fewer bytes than are due is an error, never a short answer."""
        return await self._on_disk(lambda: self._read(seq))

    def fileno(self) -> int:
        """Of the open file."""
        return self._fd

    def _read(self, seq: int) -> bytes:
        offset = seq * CHUNK_BYTES
        due = min(CHUNK_BYTES, self.size_bytes - offset)
        with self._turn, durable.storage_errors(self._path, "read"):
            chunk = os.pread(self._fd, due, offset)
            while len(chunk) < due and (
                more := os.pread(self._fd, due - len(chunk), offset + len(chunk))
            ):
                chunk += more
        if len(chunk) != due:
            raise StorageError("became shorter while it was read", object=str(self._path))
        return chunk

    def close(self) -> None:
        """On a disk thread: after a read that may still be under way."""
        with self._turn:
            self._is_closed = True
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


@attrs.frozen
class Asked:
    """What a request is for.

    Attributes:
        root: what stands before the path, "/" at both ends.
        path: in the tree: "" for its root, a trailing slash for a directory.
        generation: of which tree; None for the one that the client sees.
    """

    root: str
    path: str
    generation: int | None = None


def asked(path: bytes) -> Asked:
    """What a request with this path is for.

    Raises:
        NotFound: something that is not served.
        WrongUsage: no clean path: "..", "//", control characters and the like.
    """
    try:
        text = unquote_to_bytes(path).decode("ascii")
    except UnicodeDecodeError:
        raise WrongUsage("not a path", code="path-malformed") from None
    match = _ROOT.match(text)
    if match is None:
        raise NotFound(
            "no such page",
            object=text[:200],
            remedy="images are below /images/ and /generations/NUMBER/, mirrors below /mirror/",
        )
    inner = text[match.end() :]
    plain = inner.removesuffix("/")
    if inner and not (is_item_path(plain) or is_mirror_path(plain)):
        raise WrongUsage("not a path of an image", object=text[:200], code="path-malformed")
    return Asked(match[0], inner, int(match[1]) if match[1] else None)


def listing(files: Mapping[str, HeldFile], root: str, directory: str) -> str | None:
    """A directory as a page of links; None if there is no such directory (pure).

    Args:
        files: the whole tree.
        root: where the tree is.
        directory: "" or a path with a trailing slash.
    """
    entries: dict[str, str] = {}
    for path, file in files.items():
        if path.startswith(directory):
            name, slash, _ = path.removeprefix(directory).partition("/")
            entries[name + slash] = "" if slash else f"{file.size_bytes}"
    if not entries and directory:
        return None
    up = '<li><a href="../">../</a></li>\n' if directory else ""
    lines = "".join(
        f'<li><a href="{quote(name)}">{html.escape(name)}</a> {size}</li>\n'
        for name, size in sorted(entries.items())
    )
    title = html.escape(f"{root}{directory}")
    return f"<!DOCTYPE html>\n<title>{title}</title>\n<h1>{title}</h1>\n<ul>\n{up}{lines}</ul>\n"


class Machines(Resource):
    """Everything on the rack's images port.

    Args:
        library: the disk, with the snapshots.
        clock: for readers that do not read, and for how long a machine boots.
        on_disk: runs opens and reads, apart from the threads that sync.
        on_damage: is told when the tree is found damaged.
        before_serving: returns when a file may be served (``rackd.checks``).
        tally: where answers are counted.
    """

    isLeaf = True

    def __init__(
        self,
        library: Library,
        clock: IReactorTime,
        on_disk: Threads,
        on_damage: Callable[[StorageError], None] = lambda _: None,
        before_serving: Callable[[HeldFile], Awaitable[object]] | None = None,
        *,
        tally: Tally | None = None,
    ) -> None:
        super().__init__()
        self._library = library
        self._clock = clock
        self._on_disk = on_disk
        self._on_damage = on_damage
        self._before_serving = before_serving
        self._tally = tally or Tally()
        self._pins = Pins()

    def render_GET(self, request: Request) -> int:
        """Called by Twisted."""
        return answering(request, self._answer(request))

    render_HEAD = render_GET

    async def _answer(self, request: Request) -> None:
        wanted = asked(request.path)
        record = await self._record(wanted, request)
        files = record.shown if record else {}
        if wanted.path in files:
            await self._send(request, wanted.path, files[wanted.path])
            return
        path = wanted.path
        if record is None and path == _BEGINNING:
            _answer_text(request, "text/plain", ipxe_script((), MenuSettings(), 0))
            return
        directory = path if not path or path.endswith("/") else f"{path}/"
        page = listing(files, wanted.root, directory)
        if page is None:
            raise NotFound("no such image file in that snapshot", object=f"{wanted.root}{path}")
        if directory != path:
            request.redirect(f"{wanted.root}{quote(directory)}".encode("ascii"))
            request.finish()
            return
        _answer_text(request, "text/html; charset=utf-8", page)

    async def _record(self, wanted: Asked, request: Request) -> Record | None:
        """The tree that is asked for; None if there is none yet."""
        generation = wanted.generation
        if generation is not None:
            return await self._on_disk(
                lambda: self._library.record(self._library.name_of_generation(generation))
            )
        current = self._library.current
        if current is None:
            return None
        if wanted.root == _MIRRORS:
            return await self._mirror(current.record, wanted.path)
        return await self._pinned(current, wanted.path, request)

    async def _pinned(self, current: Snapshot, path: str, request: Request) -> Record:
        """The tree on which this client began."""
        client = str(getattr(request.getClientAddress(), "host", ""))
        now_s = self._clock.seconds()
        if path == _BEGINNING:
            self._pins.begin(client, current.name, now_s)
            return current.record
        name = self._pins.snapshot_for(client, current.name, now_s)
        if name == current.name:
            return current.record
        record = None
        with contextlib.suppress(NotFound):  # somebody deleted it
            record = await self._on_disk(lambda: self._library.record(name))
        if record is None or not record.view_digest:  # nothing can have begun on an empty tree
            self._pins.begin(client, current.name, now_s)
            return current.record
        return record

    async def _mirror(self, record: Record, path: str) -> Record:
        if path not in record.files and may_be_older(path, record.files):
            with contextlib.suppress(NotFound):
                return await self._on_disk(lambda: self._library.record_with(path))
        return record

    async def _send(self, request: Request, path: str, file: HeldFile) -> None:
        kind = content_type_of(path)
        source = CachedFile(self._library.cache / file.sha256, file, self._on_disk, kind)
        outlet = SocketOutlet.of(request, self._clock, self._on_disk)
        try:
            await self._open(source, file)
            await serve(
                request,
                source,
                clock=self._clock,
                cache_control=_NO_CACHE,
                send_rest=partial(outlet.send, source.fileno()) if outlet else None,
            )
            self._count(request)
        finally:
            if outlet is not None:
                await outlet.close()
            await self._on_disk(source.close)

    def _count(self, request: Request) -> None:
        if request.method == b"GET" and request.code in {200, 206}:
            size = request.responseHeaders.getRawHeaders("content-length", ["0"])[0]
            self._tally.add(SERVED_FILES)
            self._tally.add(SERVED_BYTES, int(size))

    async def _open(self, source: CachedFile, file: HeldFile) -> None:
        try:
            if self._before_serving is not None:
                await self._before_serving(file)
            await self._on_disk(source.open)
        except StorageError as error:
            if await self._on_disk(lambda: self._library.doubt(file)):
                self._on_damage(error)
            current = self._library.current
            is_wanted = current is not None and file.sha256 in current.record.blobs
            if not is_wanted or await self._on_disk(lambda: self._library.has(file)):
                raise  # nobody fetches it again
            raise Busy(
                f"is damaged, and is fetched again: {error.message}",
                object=error.object,
                code="blob-damaged",
                remedy=error.remedy,
            ) from error


def _answer_text(request: Request, content_type: str, text: str) -> None:
    body = text.encode()
    request.setHeader("content-type", content_type)
    request.setHeader("content-length", str(len(body)))
    request.setHeader("cache-control", _NO_CACHE)
    if request.method != b"HEAD":
        request.write(body)
    request.finish()


class MachinesSite(QuietSite):
    """The listener. It keeps no access log: a thousand booting machines would fill it.

    Args:
        machines: answers.
        clock: for time-outs.
        pages: what answers in its stead, by the path.
    """

    def __init__(
        self, machines: Machines, clock: IReactorTime, pages: Mapping[str, Resource] | None = None
    ) -> None:
        root = _Root(machines)
        for path, page in (pages or {}).items():
            root.putChild(path.encode("ascii"), page)
        super().__init__(root, clock)


class _Root(Resource):
    """Everything that is no page of its own is for the machines."""

    def __init__(self, machines: Machines) -> None:
        super().__init__()
        self._machines = machines

    def getChild(self, path: bytes, request: Request) -> Resource:  # noqa: ARG002 - Twisted's
        """Called by Twisted."""
        return self._machines
