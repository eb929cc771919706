"""A rack's mirror of its sources: which blob stands at which upstream path (pure).

``mirror/<source id>/`` holds a source's documents as they were sent, and every held file of
that source under the path by which those documents name it. So a client that trusts the
source's keyring can take the rack for the source.
"""

from collections.abc import Iterable, Iterator, Mapping

import attrs

from common.images import File, Image, SourceDocument
from common.names import is_mirror_path
from rackd.records import HeldFile

DIRECTORY = "mirror"
DOCUMENT_SUFFIXES = (".json", ".sjson")

Content = File | SourceDocument
"""What has a SHA-256, a size and a digest list, and can be fetched."""


@attrs.frozen
class Mirrored:
    """What a view wants mirrors to show.

    Attributes:
        documents: by source (its id as text), then by upstream path.
        superseded: the images that these documents name and that are replaced otherwise.
    """

    documents: Mapping[str, Mapping[str, SourceDocument]] = attrs.field(factory=dict)
    superseded: tuple[Image, ...] = ()


@attrs.frozen
class Mirror:
    """Which content stands at which path of the tree, and what cannot stand there, and why."""

    files: Mapping[str, Content] = attrs.field(factory=dict)
    skipped: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def held_files(self) -> dict[str, HeldFile]:
        """As a snapshot's record has it."""
        return {path: HeldFile(each.sha256, each.size_bytes) for path, each in self.files.items()}


def lay_out_mirror(images: Iterable[Image], mirrored: Mirrored) -> Mirror:
    """The mirror of these images and of what is mirrored besides.

    Where two claim a path, or a path is also a directory of others, the first has it:
    images come before superseded ones, and documents after both. What was skipped of a
    source costs nothing else of it.
    """
    files: dict[str, Content] = {}
    skipped: dict[str, str] = {}
    directories: set[str] = set()
    sizes: dict[str, int] = {}
    for path, content in _claims(images, mirrored):
        parents = list(_parents(path))
        if not is_mirror_path(path):
            skipped[path] = "its path cannot stand in a tree"
        elif sizes.setdefault(content.sha256, content.size_bytes) != content.size_bytes:
            skipped[path] = "it has the SHA-256 of a file of another size"
        elif path in files:
            if files[path].sha256 != content.sha256:
                skipped[path] = "another file has its path"
        elif path in directories or any(parent in files for parent in parents):
            skipped[path] = "its path is also a directory"
        else:
            files[path] = content
            directories.update(parents)
    return Mirror(files, skipped)


def _claims(images: Iterable[Image], mirrored: Mirrored) -> Iterator[tuple[str, Content]]:
    """Who wants to stand where, the first first; only of sources that show documents."""
    for image in (*images, *mirrored.superseded):
        for file in image.files:
            if file.upstream_path is not None and str(file.source) in mirrored.documents:
                yield f"{DIRECTORY}/{file.source}/{file.upstream_path}", file
    for source, documents in mirrored.documents.items():
        for path, document in documents.items():
            yield f"{DIRECTORY}/{source}/{path}", document


def may_be_older(path: str, shown: Iterable[str]) -> bool:
    """Whether a path that is not among those ``shown`` may be had of an older tree.

    Who began with the documents of one goes on with its files. Documents are always the
    newest, and of a source that is mirrored no more there is nothing.
    """
    if path.endswith(DOCUMENT_SUFFIXES):
        return False
    start = "/".join(path.split("/")[:2]) + "/"
    return any(each.startswith(start) for each in shown)


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
