"""The first schema.

Later changes are later steps; this one stays as it was released. The words are explained
in ``regiond.store.tables``.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# On SQLite a column must be of type INTEGER to be the row's key itself.
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SHA256 = sa.String(length=64)
ALIVE = sa.text("state <> 'dead'")


def _has(name: str, kind: Any, comment: str, **more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, comment=comment, **more)


def _may_have(name: str, kind: Any, comment: str) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=True, comment=comment)


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "blob",
        _has("id", KEY, "counts from 1, never reused"),
        _has("sha256", SHA256, "the name of the whole content"),
        _has("size_bytes", sa.BigInteger(), "promised, and in the end true"),
        _has("state", sa.String(length=10), "partial, complete or dead"),
        _has("held_chunks", sa.Integer(), "chunks 0 to here - 1 are stored"),
        _has("held_bytes", sa.BigInteger(), "size of the stored chunks"),
        _has("writer_epoch", sa.BigInteger(), "fencing token of its writer"),
        _may_have("unreferenced_since", sa.Double(), "null: referenced, or not yet looked at"),
        _may_have("digests_sha256", SHA256, "name of the digest list; null until complete"),
        _may_have("digests", sa.LargeBinary(), "the digest list; null until complete"),
        sa.PrimaryKeyConstraint("id", name="pk_blob"),
        comment="bytes named by their SHA-256; a dead one is being deleted and counts as absent",
        sqlite_autoincrement=True,
    )
    op.create_index("ix_blob_state", "blob", ["state"], unique=False)
    op.create_index(
        "uq_blob_sha256",
        "blob",
        ["sha256"],
        unique=True,
        sqlite_where=ALIVE,
        postgresql_where=ALIVE,
    )
    op.create_table(
        "boot_source",
        _has("id", KEY, "counts from 1, never reused"),
        _has("url", sa.Text(), "as the admin typed it"),
        _may_have("keyring_filename", sa.Text(), "a path on the region, or ..."),
        _may_have("keyring_data", sa.LargeBinary(), "... the keyring itself"),
        _has("unsigned", sa.Boolean(), "a .json index is accepted"),
        _has("priority", sa.Integer(), "higher wins per image"),
        _has("enabled", sa.Boolean(), "imports read it"),
        _has("created_at", sa.Double(), "when the row was made"),
        _has("updated_at", sa.Double(), "last change by an admin"),
        _may_have("last_success_at", sa.Double(), "last time its documents were read and verified"),
        sa.PrimaryKeyConstraint("id", name="pk_boot_source"),
        sa.UniqueConstraint("url", name="uq_boot_source_url"),
        comment="where images come from",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "change",
        _has("id", KEY, "counts from 1, never reused"),
        _has("kind", sa.Text(), "generation, source, rack, ..."),
        _has("object", sa.Text(), "the thing it happened to"),
        _has("at", sa.Double(), "when"),
        sa.PrimaryKeyConstraint("id", name="pk_change"),
        comment="change feed: what others may want to look at again",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "chunk",
        _has("id", KEY, "blob.id * 2**20 + seq", autoincrement=False),
        _has("digest", sa.LargeBinary(length=32), "running SHA-256 after this chunk"),
        _has("data", sa.LargeBinary(), "1 MiB; the last of a blob may be less"),
        sa.PrimaryKeyConstraint("id", name="pk_chunk"),
        comment="the bytes of blobs; immutable rows",
    )
    op.create_table(
        "document",
        _has("sha256", SHA256, "the content's name"),
        _has("content", sa.LargeBinary(), "canonical JSON"),
        sa.PrimaryKeyConstraint("sha256", name="pk_document"),
        comment="views and image documents by name; immutable",
    )
    op.create_table(
        "event",
        _has("id", KEY, "counts from 1, never reused"),
        _has("code", sa.Text(), "stable word for machines"),
        _has("severity", sa.String(length=10), "info, warning or error"),
        _has("object", sa.Text(), "the thing it happened to"),
        _has("cause", sa.Text(), "what happened and why"),
        _has("remedy", sa.Text(), "what to do; may be empty"),
        _has("first_at", sa.Double(), "when it was first raised"),
        _has("last_at", sa.Double(), "when it was last raised"),
        _has("times", sa.Integer(), "how often it was raised"),
        _may_have("cleared_at", sa.Double(), "null: open"),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
        comment="what happened, and what to do; one open row per code and object",
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_event_open",
        "event",
        ["code", "object"],
        unique=True,
        sqlite_where=sa.text("cleared_at IS NULL"),
        postgresql_where=sa.text("cleared_at IS NULL"),
    )
    op.create_table(
        "generation",
        _has("number", KEY, "from 1, no gaps", autoincrement=False),
        _has("view_sha256", SHA256, "the view of all racks"),
        _has("created_at", sa.Double(), "when the row was made"),
        sa.PrimaryKeyConstraint("number", name="pk_generation"),
        comment="the published states of the region",
    )
    op.create_table(
        "image",
        _has("id", KEY, "counts from 1, never reused"),
        _has("os", sa.Text(), "operating system, for example ubuntu"),
        _has("arch", sa.Text(), "for example amd64"),
        _has("subarch", sa.Text(), "for example ga-22.04"),
        _has("release", sa.Text(), "for example jammy"),
        _has("label", sa.Text(), "for example stable"),
        _has("version", sa.Text(), "as the stream names it; the newest is the last in byte order"),
        _has("state", sa.String(length=10), "importing, published or retired"),
        _has("type", sa.Text(), "synced or uploaded"),
        _may_have("source_id", KEY, "null for uploads; the source may be gone since"),
        _may_have("kflavor", sa.Text(), "kernel flavour, if it has one"),
        _may_have("bootloader_type", sa.Text(), "for bootloaders: uefi, pxe, ..."),
        _has("rolling", sa.Boolean(), "its kernel changes within a release"),
        _has("title", sa.Text(), "for people"),
        _has("subarches", sa.JSON(), "further names the kernel answers to"),
        _may_have("document_sha256", SHA256, "its image document; null until published"),
        _has("created_at", sa.Double(), "when the row was made"),
        _may_have("published_at", sa.Double(), "null until then"),
        _may_have("retired_at", sa.Double(), "its bytes stay for a grace time after this"),
        sa.PrimaryKeyConstraint("id", name="pk_image"),
        comment="one row per image and version",
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_image_importing",
        "image",
        ["os", "arch", "subarch", "release", "label"],
        unique=True,
        sqlite_where=sa.text("state = 'importing'"),
        postgresql_where=sa.text("state = 'importing'"),
    )
    op.create_index(
        "uq_image_published",
        "image",
        ["os", "arch", "subarch", "release", "label"],
        unique=True,
        sqlite_where=sa.text("state = 'published'"),
        postgresql_where=sa.text("state = 'published'"),
    )
    op.create_table(
        "import_run",
        _has("id", KEY, "counts from 1, never reused"),
        _has("epoch", sa.BigInteger(), "fencing token it ran under"),
        _has("started_at", sa.Double(), "when it began"),
        _may_have("ended_at", sa.Double(), "null: running, or interrupted"),
        _may_have("outcome", sa.Text(), "complete, incomplete, failed, stopped or interrupted"),
        _has("reason", sa.Text(), "why it failed, or empty"),
        _has("published", sa.Integer(), "images"),
        _has("fetched_bytes", sa.BigInteger(), "from sources, without what was held"),
        sa.PrimaryKeyConstraint("id", name="pk_import_run"),
        comment="the imports, newest last",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "lease",
        _has("name", sa.Text(), "what it is called"),
        _has("holder", sa.Text(), "empty: released"),
        _has("token", sa.BigInteger(), "fencing token; grows with each grant"),
        _has("expires_at", sa.Double(), "from then on another may have it"),
        sa.PrimaryKeyConstraint("name", name="pk_lease"),
        comment="who may do what only one region may do",
    )
    op.create_table(
        "rack",
        _has("id", KEY, "counts from 1, never reused"),
        _has("name", sa.Text(), "what it is called"),
        _has("state", sa.String(length=10), "active or deleted"),
        _has("created_at", sa.Double(), "when the row was made"),
        _may_have("last_seen_at", sa.Double(), "last time it said anything"),
        _has("held_digest", sa.Text(), "view it holds complete; empty: none"),
        _has("held_generation", sa.BigInteger(), "0: none"),
        _may_have("last_sync_at", sa.Double(), "last time that a sync ended well"),
        _may_have("problem", sa.JSON(), "error object of the last sync; null: none"),
        sa.PrimaryKeyConstraint("id", name="pk_rack"),
        sa.UniqueConstraint("name", name="uq_rack_name"),
        comment="rack controllers",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "setting",
        _has("name", sa.Text(), "what it is called"),
        _has("value", sa.JSON(), "any JSON value"),
        sa.PrimaryKeyConstraint("name", name="pk_setting"),
        comment="settings shared by all regions, and facts about this database",
    )
    op.create_table(
        "certificate",
        _has("serial", sa.Text(), "hexadecimal"),
        _has("rack_id", KEY, "whose it is"),
        _has("spki_sha256", SHA256, "of its public key"),
        _has("not_after", sa.Double(), "when it ends"),
        _has("pem", sa.LargeBinary(), "the certificate"),
        _may_have("revoked_at", sa.Double(), "null: valid"),
        sa.ForeignKeyConstraint(
            ["rack_id"], ["rack.id"], name="fk_certificate_rack_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("serial", name="pk_certificate"),
        comment="client certificates of racks",
    )
    op.create_index("ix_certificate_rack_id", "certificate", ["rack_id"], unique=False)
    op.create_table(
        "image_file",
        _has("image_id", KEY, "its image"),
        _has("name", sa.Text(), "in a rack's tree"),
        _has("ftype", sa.Text(), "boot-kernel, squashfs, ..."),
        _has("sha256", SHA256, "keeps the blob of this name"),
        _has("size_bytes", sa.BigInteger(), "promised by the source"),
        _may_have("source_id", KEY, "where it comes from; the source may be gone since"),
        _may_have("upstream_path", sa.Text(), "relative to the source's base"),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.id"], name="fk_image_file_image_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", "name", name="pk_image_file"),
        comment="every file that an image needs to be complete; these rows are the references to blobs",
    )
    op.create_index("ix_image_file_sha256", "image_file", ["sha256"], unique=False)
    op.create_table(
        "selection",
        _has("id", KEY, "counts from 1, never reused"),
        _has("source_id", KEY, "its source"),
        _has("os", sa.Text(), "operating system, for example ubuntu"),
        _has("release", sa.Text(), "may be symbolic: latest-lts"),
        _has("arches", sa.JSON(), "list of names and globs"),
        _has("subarches", sa.JSON(), "list of names and globs"),
        _has("labels", sa.JSON(), "list of names and globs"),
        _has("unchecked", sa.Boolean(), "accepted without its catalogue"),
        _has("created_at", sa.Double(), "when the row was made"),
        sa.ForeignKeyConstraint(
            ["source_id"], ["boot_source.id"], name="fk_selection_source_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_selection"),
        comment="what is wanted of a source",
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_selection_source_id_os_release",
        "selection",
        ["source_id", "os", "release"],
        unique=True,
    )
    op.create_table(
        "source_document",
        _has("source_id", KEY, "its source"),
        _has("path", sa.Text(), "relative to the source's base"),
        _has("etag", sa.Text(), "validator of the last answer, or empty"),
        _has("last_modified", sa.Text(), "another validator, or empty"),
        _may_have("updated", sa.BigInteger(), "as the document says, if it does; never goes back"),
        _has("fingerprint", sa.Text(), "key that signed it; empty: unsigned"),
        _has("raw_sha256", SHA256, "of the document as it was sent"),
        _has("payload", sa.LargeBinary(), "the verified text"),
        _has("fetched_at", sa.Double(), "when it was last seen"),
        sa.ForeignKeyConstraint(
            ["source_id"],
            ["boot_source.id"],
            name="fk_source_document_source_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("source_id", "path", name="pk_source_document"),
        comment="the last good documents of each source",
    )
    op.create_table(
        "token",
        _has("secret_sha256", SHA256, "the secret itself is not kept"),
        _has("name", sa.Text(), "the rack it is for"),
        _has("created_at", sa.Double(), "when the row was made"),
        _has("expires_at", sa.Double(), "void from then on"),
        _may_have("used_at", sa.Double(), "null: not yet"),
        _may_have("used_by_spki", SHA256, "the only key that may ask again"),
        _may_have("serial", sa.Text(), "what was issued for it"),
        sa.ForeignKeyConstraint(
            ["serial"], ["certificate.serial"], name="fk_token_serial", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("secret_sha256", name="pk_token"),
        comment="one-time permissions to enrol",
    )
    op.create_index("ix_token_serial", "token", ["serial"], unique=False)

    if op.get_bind().dialect.name == "postgresql":
        # Images do not compress: do not try, and read parts of them cheaply.
        op.execute("ALTER TABLE chunk ALTER COLUMN data SET STORAGE EXTERNAL")
