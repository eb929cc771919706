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
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from urllib.parse import quote

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import Request

from common.errors import Busy, NotFound, StorageError
from common.metrics import Tally
from common.pools import Threads
from common.serving import answering, content_type_of, serve
from common.sites import QuietSite
from rackd.asked import Asked, asked, listing
from rackd.cached_file import CachedFile
from rackd.library import Library
from rackd.menus import MenuSettings, ipxe_script
from rackd.metrics_table import SERVED_BYTES, SERVED_FILES
from rackd.mirror import may_be_older
from rackd.pins import Pins
from rackd.records import HeldFile, Record
from rackd.sendfile import SocketOutlet
from rackd.snapshot import Snapshot

_MIRRORS = "/"  # the root before "mirror/..."
_BEGINNING = "boot.ipxe"
_NO_CACHE = "no-cache"


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
