"""The schema: every table and column of the region's database.

Both engines have the same tables. Times are seconds since the epoch (UTC, double
precision); SHA-256 names are 64 lower-case hexadecimal digits; ids count from 1 and are
never given twice. Changing anything here needs a migration (``migrations/versions``); a
test compares the two.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# On SQLite only a column of type INTEGER is the row's key itself, without an index beside it.
_Key = BigInteger().with_variant(Integer(), "sqlite")
_Sha256 = String(64)


def _id() -> Column[Any]:
    return Column("id", _Key, primary_key=True, comment="counts from 1, never reused")


def _table(name: str, *columns: Any, comment: str) -> Table:
    """A table; where it has an ``id``, SQLite too never gives one twice."""
    counted = any(isinstance(c, Column) and c.name == "id" for c in columns)
    return Table(
        name, metadata, *columns, comment=comment, sqlite_autoincrement=counted and name != "chunk"
    )


blob = _table(
    "blob",
    _id(),
    Column("sha256", _Sha256, nullable=False, comment="the name of the whole content"),
    Column("size_bytes", BigInteger, nullable=False, comment="promised, and in the end true"),
    Column("state", String(10), nullable=False, comment="partial, complete or dead"),
    Column("held_chunks", Integer, nullable=False, comment="chunks 0 to here - 1 are stored"),
    Column("held_bytes", BigInteger, nullable=False, comment="size of the stored chunks"),
    Column("writer_epoch", BigInteger, nullable=False, comment="fencing token of its writer"),
    Column("unreferenced_since", Double, comment="null: referenced, or not yet looked at"),
    Column("digests_sha256", _Sha256, comment="name of the digest list; null until complete"),
    Column("digests", LargeBinary, comment="the digest list; null until complete"),
    Index(
        "uq_blob_sha256",
        "sha256",
        unique=True,
        sqlite_where=text("state <> 'dead'"),
        postgresql_where=text("state <> 'dead'"),
    ),
    Index("ix_blob_state", "state"),
    comment="bytes named by their SHA-256; a dead one is being deleted and counts as absent",
)

chunk = _table(
    "chunk",
    Column("id", _Key, primary_key=True, autoincrement=False, comment="blob.id * 2**20 + seq"),
    Column("digest", LargeBinary(32), nullable=False, comment="running SHA-256 after this chunk"),
    Column("data", LargeBinary, nullable=False, comment="1 MiB; the last of a blob may be less"),
    comment="the bytes of blobs; immutable rows",
)

boot_source = _table(
    "boot_source",
    _id(),
    Column("url", Text, nullable=False, unique=True, comment="as the admin typed it"),
    Column("keyring_filename", Text, comment="a path on the region, or ..."),
    Column("keyring_data", LargeBinary, comment="... the keyring itself"),
    Column("unsigned", Boolean, nullable=False, comment="a .json index is accepted"),
    Column("priority", Integer, nullable=False, comment="higher wins per image"),
    Column("enabled", Boolean, nullable=False, comment="imports read it"),
    Column("username", Text, comment="for basic authentication, with ..."),
    Column("password", Text, comment="... this; never shown again"),
    Column("bearer_token", Text, comment="for bearer authentication; never shown again"),
    Column("proxy", Text, comment="http://[user:password@]host:port; null: none"),
    Column("ca_file", Text, comment="path of certificates to trust instead of the system's"),
    Column("rate_limit", Text, comment="limits with their hours; null: none"),
    Column(
        "any_products", Boolean, nullable=False, comment="product names that MAAS does not know"
    ),
    Column("accept_rollback", Text, comment="who lets older documents pass, once; null: nobody"),
    Column("lagging_since", Double, comment="older documents are refused since then"),
    Column("created_at", Double, nullable=False, comment="when the row was made"),
    Column("updated_at", Double, nullable=False, comment="last change by an admin"),
    Column("last_success_at", Double, comment="last time its documents were read and verified"),
    comment="where images come from",
)

selection = _table(
    "selection",
    _id(),
    Column(
        "source_id",
        _Key,
        ForeignKey("boot_source.id", ondelete="CASCADE"),
        nullable=False,
        comment="its source",
    ),
    Column("os", Text, nullable=False, comment="operating system, for example ubuntu"),
    Column("release", Text, nullable=False, comment="may be symbolic: latest-lts"),
    Column("arches", JSON, nullable=False, comment="list of names and globs"),
    Column("subarches", JSON, nullable=False, comment="list of names and globs"),
    Column("labels", JSON, nullable=False, comment="list of names and globs"),
    Column("unchecked", Boolean, nullable=False, comment="accepted without its catalogue"),
    Column("created_at", Double, nullable=False, comment="when the row was made"),
    Index("uq_selection_source_id_os_release", "source_id", "os", "release", unique=True),
    comment="what is wanted of a source",
)

source_document = _table(
    "source_document",
    Column(
        "source_id",
        _Key,
        ForeignKey("boot_source.id", ondelete="CASCADE"),
        primary_key=True,
        comment="its source",
    ),
    Column("path", Text, primary_key=True, comment="relative to the source's base"),
    Column("etag", Text, nullable=False, comment="validator of the last answer, or empty"),
    Column("last_modified", Text, nullable=False, comment="another validator, or empty"),
    Column("updated", BigInteger, comment="as the document says, if it does; never goes back"),
    Column("fingerprint", Text, nullable=False, comment="key that signed it; empty: unsigned"),
    Column("raw_sha256", _Sha256, nullable=False, comment="of the document as it was sent"),
    Column("payload", LargeBinary, nullable=False, comment="the verified text"),
    Column("fetched_at", Double, nullable=False, comment="when it was last seen"),
    comment="the last good documents of each source",
)

import_run = _table(
    "import_run",
    _id(),
    Column("epoch", BigInteger, nullable=False, comment="fencing token it ran under"),
    Column("started_at", Double, nullable=False, comment="when it began"),
    Column("ended_at", Double, comment="null: running, or interrupted"),
    Column("outcome", Text, comment="complete, incomplete, failed, stopped or interrupted"),
    Column("reason", Text, nullable=False, comment="why it failed, or empty"),
    Column("published", Integer, nullable=False, comment="images"),
    Column(
        "fetched_bytes", BigInteger, nullable=False, comment="from sources, without what was held"
    ),
    comment="the imports, newest last",
)

image = _table(
    "image",
    _id(),
    Column("os", Text, nullable=False, comment="operating system, for example ubuntu"),
    Column("arch", Text, nullable=False, comment="for example amd64"),
    Column("subarch", Text, nullable=False, comment="for example ga-22.04"),
    Column("release", Text, nullable=False, comment="for example jammy"),
    Column("label", Text, nullable=False, comment="for example stable"),
    Column(
        "version",
        Text,
        nullable=False,
        comment="as the stream names it; the newest is the last in byte order",
    ),
    Column("state", String(10), nullable=False, comment="importing, published, kept or retired"),
    Column("type", Text, nullable=False, comment="synced or uploaded"),
    Column("source_id", _Key, comment="null for uploads; the source may be gone since"),
    Column("kflavor", Text, comment="kernel flavour, if it has one"),
    Column("bootloader_type", Text, comment="for bootloaders: uefi, pxe, ..."),
    Column("rolling", Boolean, nullable=False, comment="its kernel changes within a release"),
    Column("title", Text, nullable=False, comment="for people"),
    Column("subarches", JSON, nullable=False, comment="further names the kernel answers to"),
    Column("base_image", Text, comment="uploads: what it is deployed from; null: MAAS's default"),
    Column("document_sha256", _Sha256, comment="its image document; null until published"),
    Column("created_at", Double, nullable=False, comment="when the row was made"),
    Column("published_at", Double, comment="null until then"),
    Column("retired_at", Double, comment="left the view; racks may go on fetching it for a while"),
    Column(
        "mirrored",
        Boolean,
        nullable=False,
        default=False,
        comment="the mirror's documents name its files",
    ),
    Column("stream_tags", JSON, comment="what its source says of it besides, for own streams"),
    Column("pinned", Boolean, nullable=False, default=False, comment="others wait for an admin"),
    Column(
        "settled",
        Boolean,
        nullable=False,
        default=True,
        comment="held by racks that are no canaries",
    ),
    Column("due_at", Double, comment="when these get it; null: when an admin says so, or never"),
    Column("waiting_version", Text, comment="pinned: what an import would publish in its place"),
    # Of one image there is at most one version being imported and one published.
    Index(
        "uq_image_importing",
        "os",
        "arch",
        "subarch",
        "release",
        "label",
        unique=True,
        sqlite_where=text("state = 'importing'"),
        postgresql_where=text("state = 'importing'"),
    ),
    Index(
        "uq_image_published",
        "os",
        "arch",
        "subarch",
        "release",
        "label",
        unique=True,
        sqlite_where=text("state = 'published'"),
        postgresql_where=text("state = 'published'"),
    ),
    comment="one row per image and version",
)

image_file = _table(
    "image_file",
    Column(
        "image_id",
        _Key,
        ForeignKey("image.id", ondelete="CASCADE"),
        primary_key=True,
        comment="its image",
    ),
    Column("name", Text, primary_key=True, comment="in a rack's tree"),
    Column("ftype", Text, nullable=False, comment="boot-kernel, squashfs, ..."),
    Column("sha256", _Sha256, nullable=False, index=True, comment="keeps the blob of this name"),
    Column("size_bytes", BigInteger, nullable=False, comment="promised by the source"),
    Column("source_id", _Key, comment="where it comes from; the source may be gone since"),
    Column("upstream_path", Text, comment="relative to the source's base"),
    comment="every file that an image needs to be complete; these rows are the references to blobs",
)

generation = _table(
    "generation",
    Column("number", _Key, primary_key=True, autoincrement=False, comment="from 1, no gaps"),
    Column("view_sha256", _Sha256, nullable=False, comment="the view of all racks"),
    Column("created_at", Double, nullable=False, comment="when the row was made"),
    comment="the published states of the region",
)

mirror_document = _table(
    "mirror_document",
    Column("source_id", _Key, primary_key=True, comment="its source; it may be gone since"),
    Column("path", Text, primary_key=True, comment="relative to the source's base"),
    Column("sha256", _Sha256, primary_key=True, comment="as it was sent; keeps the blob"),
    Column("retired_at", Double, comment="racks may fetch it for a grace time; null: shown"),
    comment="the documents that mirrors show: those of the last import that ended well",
)

stream_key = _table(
    "stream_key",
    Column("id", _Key, primary_key=True, autoincrement=False, comment="1: there is one key"),
    Column("fingerprint", Text, nullable=False, comment="of the key"),
    Column("secret", LargeBinary, nullable=False, comment="OpenPGP secret key, without passphrase"),
    Column("public", LargeBinary, nullable=False, comment="the keyring for everybody"),
    Column("created_at", Double, nullable=False, comment="when it was made"),
    comment="signs the stream of this region; one for all regions of this database",
)

stream_document = _table(
    "stream_document",
    Column("path", Text, primary_key=True, comment="relative to the stream's base"),
    Column("sha256", _Sha256, nullable=False, comment="keeps the blob of this name"),
    Column("basis_sha256", _Sha256, nullable=False, comment="what all documents were made of"),
    Column("generation", BigInteger, nullable=False, comment="which they describe"),
    Column("updated", BigInteger, nullable=False, comment="the time they say; never goes back"),
    comment="the signed documents of this region's own stream, the newest of each",
)

rack_view = _table(
    "rack_view",
    Column("number", _Key, primary_key=True, autoincrement=False, comment="of the generation"),
    Column("rack", Text, primary_key=True, comment="the rack's name"),
    Column("view_sha256", _Sha256, nullable=False, comment="what this rack is to hold"),
    comment="views of racks that do not hold everything",
)

document = _table(
    "document",
    Column("sha256", _Sha256, primary_key=True, comment="the content's name"),
    Column("content", LargeBinary, nullable=False, comment="canonical JSON"),
    comment="views and image documents by name; immutable",
)

rack = _table(
    "rack",
    _id(),
    Column("name", Text, nullable=False, unique=True, comment="what it is called"),
    Column("state", String(10), nullable=False, comment="active or deleted"),
    Column("created_at", Double, nullable=False, comment="when the row was made"),
    Column("last_seen_at", Double, comment="last time it said anything"),
    Column("held_digest", Text, nullable=False, comment="view it holds complete; empty: none"),
    Column("held_generation", BigInteger, nullable=False, comment="0: none"),
    Column("last_sync_at", Double, comment="last time that a sync ended well"),
    Column("problem", JSON, comment="error object of the last sync; null: none"),
    Column("selections", JSON, comment="all it may hold; null: everything"),
    Column("canary", Boolean, nullable=False, default=False, comment="gets new versions first"),
    Column("seen_by", Text, comment="name of the region that it reported to last; null: none"),
    comment="rack controllers",
)

certificate = _table(
    "certificate",
    Column("serial", Text, primary_key=True, comment="hexadecimal"),
    Column(
        "rack_id",
        _Key,
        ForeignKey("rack.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
        comment="whose it is",
    ),
    Column("spki_sha256", _Sha256, nullable=False, comment="of its public key"),
    Column("not_after", Double, nullable=False, comment="when it ends"),
    Column("pem", LargeBinary, nullable=False, comment="the certificate"),
    Column("revoked_at", Double, comment="null: valid"),
    comment="client certificates of racks",
)

token = _table(
    "token",
    Column("secret_sha256", _Sha256, primary_key=True, comment="the secret itself is not kept"),
    Column("name", Text, nullable=False, comment="the rack it is for"),
    Column("created_at", Double, nullable=False, comment="when the row was made"),
    Column("expires_at", Double, nullable=False, comment="void from then on"),
    Column("used_at", Double, comment="null: not yet"),
    Column("used_by_spki", _Sha256, comment="the only key that may ask again"),
    Column(
        "serial",
        Text,
        ForeignKey("certificate.serial", ondelete="CASCADE"),
        index=True,
        comment="what was issued for it",
    ),
    comment="one-time permissions to enrol",
)

event = _table(
    "event",
    _id(),
    Column("code", Text, nullable=False, comment="stable word for machines"),
    Column("severity", String(10), nullable=False, comment="info, warning or error"),
    Column("object", Text, nullable=False, comment="the thing it happened to"),
    Column("cause", Text, nullable=False, comment="what happened and why"),
    Column("remedy", Text, nullable=False, comment="what to do; may be empty"),
    Column("first_at", Double, nullable=False, comment="when it was first raised"),
    Column("last_at", Double, nullable=False, comment="when it was last raised"),
    Column("times", Integer, nullable=False, comment="how often it was raised"),
    Column("cleared_at", Double, comment="null: open"),
    Column("told_at", Double, comment="as it was then, the hook's program was told of it"),
    Column("posted_at", Double, comment="as it was then, the hook's web address was told of it"),
    Index(
        "uq_event_open",
        "code",
        "object",
        unique=True,
        sqlite_where=text("cleared_at IS NULL"),
        postgresql_where=text("cleared_at IS NULL"),
    ),
    comment="what happened, and what to do; one open row per code and object",
)

lease = _table(
    "lease",
    Column("name", Text, primary_key=True, comment="what it is called"),
    Column("holder", Text, nullable=False, comment="empty: released"),
    Column("token", BigInteger, nullable=False, comment="fencing token; grows with each grant"),
    Column("expires_at", Double, nullable=False, comment="from then on another may have it"),
    comment="who may do what only one region may do",
)

change = _table(
    "change",
    _id(),
    Column("kind", Text, nullable=False, comment="generation, source, rack, ..."),
    Column("object", Text, nullable=False, comment="the thing it happened to"),
    Column("at", Double, nullable=False, comment="when"),
    comment="change feed: what others may want to look at again",
)

setting = _table(
    "setting",
    Column("name", Text, primary_key=True, comment="what it is called"),
    Column("value", JSON, nullable=False, comment="any JSON value"),
    comment="settings shared by all regions, and facts about this database",
)

web_link = _table(
    "web_link",
    Column("sha256", _Sha256, primary_key=True, comment="of its secret, which is kept nowhere"),
    Column("name", Text, nullable=False, comment="who asked for it"),
    Column("expires_at", Double, nullable=False, comment="from then on it is worth nothing"),
    comment="one-time links to the page; a used one is gone",
)

web_session = _table(
    "web_session",
    Column("sha256", _Sha256, primary_key=True, comment="of its secret, which is kept nowhere"),
    Column("name", Text, nullable=False, comment="who asked for its link"),
    Column("created_at", Double, nullable=False, comment="when the link was used"),
    Column("seen_at", Double, nullable=False, comment="when its person last did something"),
    Column("notice", Text, nullable=False, comment="what its next page says, once"),
    comment="who is logged in to the page",
)
