"""What can be asked of a region by an admin who brings a bundle.

The bundle's manifest says of which boot sources it brings something; each is matched with one
of this region's, whose keyring then judges the bundle's documents.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import attrs
from twisted.internet.defer import Deferred

from common.bundles import BundleImage, BundleSource, Manifest
from common.errors import NotFound, RackferryError, WrongUsage
from regiond.bundle import Bundle, BundledSources, Read
from regiond.bundled_uploads import BundledUploads
from regiond.import_service import ImportResult, ImportService
from regiond.importer import Importer
from regiond.source_fields import location_of
from regiond.sources.locations import SourceLocation
from regiond.store import sources
from regiond.store.database import Database
from regiond.store.sources import BootSource


class BundleImports:
    """The use-case.

    Args:
        database: the store.
        importer: does it.
        imports: sees to it that nothing else is imported meanwhile.
        uploads: takes uploaded images.
    """

    def __init__(
        self,
        database: Database,
        importer: Importer,
        imports: ImportService,
        uploads: BundledUploads,
    ) -> None:
        self._database = database
        self._importer = importer
        self._imports = imports
        self._uploads = uploads

    async def take(
        self, read: Read, source_id: int | None, *, with_uploads: bool = False
    ) -> ImportResult:
        """Import what a bundle brings of the selected images.

        Args:
            read: gives the bundle's files.
            source_id: the boot source that it is of; None: those with its URLs.
            with_uploads: take the uploaded images, too, which nobody signed; otherwise they
                are among those that are left out.

        Raises:
            ProtocolError: code ``bundle-manifest``.
            NotFound: no such boot source, or code ``bundle-source``: none is the bundle's.
            WrongUsage: code ``bundle-sources``; it is of several, and the id says of one.
            RackferryError: the import failed as a whole.
        """
        bundle = await Bundle.open(read)
        known = await self._database.read(sources.list_sources)
        if source_id is None:
            names = matched(bundle.manifest, known)
        else:
            chosen = await self._database.read(sources.source, source_id)
            names = {source_id: the_one_of(bundle.manifest, chosen)}
        work = partial(self._importer.run_bundle, BundledSources(bundle, names))
        waiting: Deferred[ImportResult] = self._imports.request_bundle(work)
        result = await waiting
        if not with_uploads:
            left_out = tuple(str(image.key) for image in bundle.manifest.uploads)
            return attrs.evolve(result, left_out=(*result.left_out, *left_out))
        for image in bundle.manifest.uploads:
            result = await self._with_upload(bundle, image, result)
        return result

    async def _with_upload(
        self, bundle: Bundle, image: BundleImage, result: ImportResult
    ) -> ImportResult:
        """What it came to with one uploaded image more; a failure costs this one."""
        try:
            read_bytes = await self._uploads.take(bundle, image)
        except RackferryError as error:
            failed = {**result.failed, str(image.key): error}
            return attrs.evolve(result, outcome="incomplete", failed=failed)
        return attrs.evolve(
            result,
            published=(*result.published, str(image.key)),
            fetched_bytes=result.fetched_bytes + read_bytes,
        )


def matched(manifest: Manifest, known: Sequence[BootSource]) -> Mapping[int, str]:
    """By the id of each boot source that the bundle brings something of, its name there.

    Raises:
        NotFound: code ``bundle-source``; there is none.
    """
    found = {
        source.id: name
        for source in known
        for name, brought in manifest.sources.items()
        if location_of(source).base == _base(brought)
    }
    if not found and manifest.sources:
        urls = ", ".join(each.url[:200] for each in manifest.sources.values())
        raise NotFound(
            f"no boot source has the bundle's URL: {urls}",
            object="bundle",
            code="bundle-source",
            remedy="boot-sources create url=... keyring_filename=..., select what is wanted, and "
            "import the bundle again; or say by source=ID which one it is of",
        )
    return found


def the_one_of(manifest: Manifest, source: BootSource) -> str:
    """The bundle's name of the source that an admin says is this one.

    Raises:
        WrongUsage: code ``bundle-sources``; it could be any of several.
    """
    if len(manifest.sources) == 1:
        return next(iter(manifest.sources))
    base = location_of(source).base
    for name, brought in manifest.sources.items():
        if _base(brought) == base:
            return name
    raise WrongUsage(
        f"the bundle is of {len(manifest.sources)} boot sources, and none has the URL {base}",
        object=f"boot-source {source.id}",
        code="bundle-sources",
        remedy="give the boot sources the bundle's URLs, and leave source= out",
    )


def _base(brought: BundleSource) -> str:
    """Where upstream is, as the bundle says; "" if that is nowhere."""
    try:
        return SourceLocation.parse(brought.url).base
    except WrongUsage:
        return ""
