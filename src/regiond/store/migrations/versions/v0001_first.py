"""The first schema.

Later changes are later steps; this one stays as it was released. The words are explained
in ``regiond.store.tables``.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# On SQLite a column must be of type INTEGER to be the row's key itself.
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SHA256 = sa.String(length=64)
ALIVE = sa.text("state <> 'dead'")


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "blob",
        sa.Column("id", KEY, nullable=False, comment="counts from 1, never reused"),
        sa.Column("sha256", SHA256, nullable=False, comment="the name of the whole content"),
        sa.Column(
            "size_bytes", sa.BigInteger(), nullable=False, comment="promised, and in the end true"
        ),
        sa.Column(
            "state", sa.String(length=10), nullable=False, comment="partial, complete or dead"
        ),
        sa.Column(
            "held_chunks", sa.Integer(), nullable=False, comment="chunks 0 to here - 1 are stored"
        ),
        sa.Column(
            "held_bytes", sa.BigInteger(), nullable=False, comment="size of the stored chunks"
        ),
        sa.Column(
            "writer_epoch", sa.BigInteger(), nullable=False, comment="fencing token of its writer"
        ),
        sa.Column(
            "unreferenced_since",
            sa.Double(),
            nullable=True,
            comment="null: referenced, or not yet looked at",
        ),
        sa.Column(
            "digests_sha256",
            SHA256,
            nullable=True,
            comment="name of the digest list; null until complete",
        ),
        sa.Column(
            "digests",
            sa.LargeBinary(),
            nullable=True,
            comment="the digest list; null until complete",
        ),
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
        sa.Column("id", KEY, nullable=False, comment="counts from 1, never reused"),
        sa.Column("url", sa.Text(), nullable=False, comment="as the admin typed it"),
        sa.Column(
            "keyring_filename", sa.Text(), nullable=True, comment="a path on the region, or ..."
        ),
        sa.Column(
            "keyring_data", sa.LargeBinary(), nullable=True, comment="... the keyring itself"
        ),
        sa.Column("unsigned", sa.Boolean(), nullable=False, comment="a .json index is accepted"),
        sa.Column("priority", sa.Integer(), nullable=False, comment="higher wins per image"),
        sa.Column("enabled", sa.Boolean(), nullable=False, comment="imports read it"),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False, comment="last change by an admin"),
        sa.Column(
            "last_success_at",
            sa.Double(),
            nullable=True,
            comment="last time its documents were read and verified",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_boot_source"),
        sa.UniqueConstraint("url", name="uq_boot_source_url"),
        comment="where images come from",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "change",
        sa.Column("id", KEY, nullable=False, comment="counts from 1, never reused"),
        sa.Column("kind", sa.Text(), nullable=False, comment="generation, source, rack, ..."),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_change"),
        comment="change feed: what others may want to look at again",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "chunk",
        sa.Column("id", KEY, autoincrement=False, nullable=False, comment="blob.id * 2**20 + seq"),
        sa.Column(
            "digest",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="running SHA-256 after this chunk",
        ),
        sa.Column(
            "data",
            sa.LargeBinary(),
            nullable=False,
            comment="1 MiB; the last of a blob may be less",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_chunk"),
        comment="the bytes of blobs; immutable rows",
    )
    op.create_table(
        "document",
        sa.Column("sha256", SHA256, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="canonical JSON"),
        sa.PrimaryKeyConstraint("sha256", name="pk_document"),
        comment="views and image documents by name; immutable",
    )
    op.create_table(
        "event",
        sa.Column("id", KEY, nullable=False, comment="counts from 1, never reused"),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column(
            "severity", sa.String(length=10), nullable=False, comment="info, warning or error"
        ),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("first_at", sa.Double(), nullable=False),
        sa.Column("last_at", sa.Double(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False, comment="how often it was raised"),
        sa.Column("cleared_at", sa.Double(), nullable=True, comment="null: open"),
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
        sa.Column("number", KEY, autoincrement=False, nullable=False, comment="from 1, no gaps"),
        sa.Column("view_sha256", SHA256, nullable=False, comment="the view of all racks"),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_generation"),
        comment="the published states of the region",
    )
    op.create_table(
        "image",
        sa.Column("id", KEY, nullable=False, comment="counts from 1, never reused"),
        sa.Column("os", sa.Text(), nullable=False),
        sa.Column("arch", sa.Text(), nullable=False),
        sa.Column("subarch", sa.Text(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column(
            "state", sa.String(length=10), nullable=False, comment="importing, published or retired"
        ),
        sa.Column("type", sa.Text(), nullable=False, comment="synced or uploaded"),
        sa.Column(
            "source_id",
            KEY,
            nullable=True,
            comment="null for uploads; the source may be gone since",
        ),
        sa.Column("kflavor", sa.Text(), nullable=True),
        sa.Column("bootloader_type", sa.Text(), nullable=True),
        sa.Column("rolling", sa.Boolean(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column(
            "subarches", sa.JSON(), nullable=False, comment="further names the kernel answers to"
        ),
        sa.Column(
            "document_sha256",
            SHA256,
            nullable=True,
            comment="its image document; null until published",
        ),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("published_at", sa.Double(), nullable=True),
        sa.Column(
            "retired_at",
            sa.Double(),
            nullable=True,
            comment="its bytes stay for a grace time after this",
        ),
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
        sa.Column("id", KEY, nullable=False, comment="counts from 1, never reused"),
        sa.Column("epoch", sa.BigInteger(), nullable=False, comment="fencing token it ran under"),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True, comment="null: running, or interrupted"),
        sa.Column(
            "outcome", sa.Text(), nullable=True, comment="done, failed, stopped or interrupted"
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="why it failed, or empty"),
        sa.Column("published", sa.Integer(), nullable=False, comment="images"),
        sa.Column("fetched_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_import_run"),
        comment="the imports, newest last",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False, comment="empty: released"),
        sa.Column(
            "token", sa.BigInteger(), nullable=False, comment="fencing token; grows with each grant"
        ),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_lease"),
        comment="who may do what only one region may do",
    )
    op.create_table(
        "rack",
        sa.Column("id", KEY, nullable=False, comment="counts from 1, never reused"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False, comment="active or deleted"),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("last_seen_at", sa.Double(), nullable=True),
        sa.Column(
            "held_digest", sa.Text(), nullable=False, comment="view it holds complete; empty: none"
        ),
        sa.Column("held_generation", sa.BigInteger(), nullable=False, comment="0: none"),
        sa.Column(
            "last_sync_at", sa.Double(), nullable=True, comment="last time that a sync ended well"
        ),
        sa.Column(
            "problem", sa.JSON(), nullable=True, comment="error object of the last sync; null: none"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_rack"),
        sa.UniqueConstraint("name", name="uq_rack_name"),
        comment="rack controllers",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "setting",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_setting"),
        comment="settings shared by all regions, and facts about this database",
    )
    op.create_table(
        "certificate",
        sa.Column("serial", sa.Text(), nullable=False, comment="hexadecimal"),
        sa.Column("rack_id", KEY, nullable=False),
        sa.Column("spki_sha256", SHA256, nullable=False, comment="of its public key"),
        sa.Column("not_after", sa.Double(), nullable=False),
        sa.Column("pem", sa.LargeBinary(), nullable=False),
        sa.Column("revoked_at", sa.Double(), nullable=True, comment="null: valid"),
        sa.ForeignKeyConstraint(
            ["rack_id"], ["rack.id"], name="fk_certificate_rack_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("serial", name="pk_certificate"),
        comment="client certificates of racks",
    )
    op.create_index("ix_certificate_rack_id", "certificate", ["rack_id"], unique=False)
    op.create_table(
        "image_file",
        sa.Column("image_id", KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="in a rack's tree"),
        sa.Column("ftype", sa.Text(), nullable=False, comment="boot-kernel, squashfs, ..."),
        sa.Column("sha256", SHA256, nullable=False, comment="keeps the blob of this name"),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column(
            "source_id",
            KEY,
            nullable=True,
            comment="where it comes from; the source may be gone since",
        ),
        sa.Column(
            "upstream_path", sa.Text(), nullable=True, comment="relative to the source's base"
        ),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.id"], name="fk_image_file_image_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", "name", name="pk_image_file"),
        comment="every file that an image needs to be complete; these rows are the references to blobs",
    )
    op.create_index("ix_image_file_sha256", "image_file", ["sha256"], unique=False)
    op.create_table(
        "selection",
        sa.Column("id", KEY, nullable=False, comment="counts from 1, never reused"),
        sa.Column("source_id", KEY, nullable=False),
        sa.Column("os", sa.Text(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False, comment="may be symbolic: latest-lts"),
        sa.Column("arches", sa.JSON(), nullable=False, comment="list of names and globs"),
        sa.Column("subarches", sa.JSON(), nullable=False, comment="list of names and globs"),
        sa.Column("labels", sa.JSON(), nullable=False, comment="list of names and globs"),
        sa.Column(
            "unchecked", sa.Boolean(), nullable=False, comment="accepted without its catalogue"
        ),
        sa.Column("created_at", sa.Double(), nullable=False),
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
        sa.Column("source_id", KEY, nullable=False),
        sa.Column("path", sa.Text(), nullable=False, comment="relative to the source's base"),
        sa.Column(
            "etag", sa.Text(), nullable=False, comment="validator of the last answer, or empty"
        ),
        sa.Column(
            "last_modified", sa.Text(), nullable=False, comment="another validator, or empty"
        ),
        sa.Column(
            "updated",
            sa.BigInteger(),
            nullable=True,
            comment="as the document says, if it does; never goes back",
        ),
        sa.Column(
            "fingerprint", sa.Text(), nullable=False, comment="key that signed it; empty: unsigned"
        ),
        sa.Column("raw_sha256", SHA256, nullable=False, comment="of the document as it was sent"),
        sa.Column("payload", sa.LargeBinary(), nullable=False, comment="the verified text"),
        sa.Column("fetched_at", sa.Double(), nullable=False),
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
        sa.Column("secret_sha256", SHA256, nullable=False, comment="the secret itself is not kept"),
        sa.Column("name", sa.Text(), nullable=False, comment="the rack it is for"),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("used_at", sa.Double(), nullable=True),
        sa.Column("used_by_spki", SHA256, nullable=True, comment="the only key that may ask again"),
        sa.Column("serial", sa.Text(), nullable=True),
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
