"""Sources in full, mirrors, racks that hold less than everything, versions that are pinned.

The words are explained in ``regiond.store.tables``.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SHA256 = sa.String(length=64)


def _has(name: str, kind: Any, comment: str, **more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, comment=comment, **more)


def _may_have(name: str, kind: Any, comment: str) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=True, comment=comment)


def _no(name: str, comment: str) -> sa.Column[Any]:
    return _has(name, sa.Boolean(), comment, server_default=sa.false())


def upgrade() -> None:
    """From the first schema."""
    for column in (
        _may_have("username", sa.Text(), "for basic authentication, with ..."),
        _may_have("password", sa.Text(), "... this; never shown again"),
        _may_have("bearer_token", sa.Text(), "for bearer authentication; never shown again"),
        _may_have("proxy", sa.Text(), "http://[user:password@]host:port; null: none"),
        _may_have("ca_file", sa.Text(), "path of certificates to trust instead of the system's"),
        _may_have("rate_limit", sa.Text(), "limits with their hours; null: none"),
        _no("any_products", "product names that MAAS does not know"),
        _may_have(
            "accept_rollback", sa.Text(), "who lets older documents pass, once; null: nobody"
        ),
        _may_have("lagging_since", sa.Double(), "older documents are refused since then"),
    ):
        op.add_column("boot_source", column)
    for name, comment in (
        ("state", "importing, published, kept or retired"),
        ("retired_at", "left the view; racks may go on fetching it for a while"),
    ):
        if op.get_bind().dialect.supports_comments:
            op.alter_column("image", name, comment=comment)
    op.add_column("image", _no("mirrored", "the mirror's documents name its files"))
    op.add_column(
        "image",
        _may_have("stream_tags", sa.JSON(), "what its source says of it besides, for own streams"),
    )
    op.add_column(
        "image",
        _may_have(
            "base_image", sa.Text(), "uploads: what it is deployed from; null: MAAS's default"
        ),
    )
    op.add_column("image", _no("pinned", "others wait for an admin"))
    op.add_column(
        "image",
        _has(
            "settled",
            sa.Boolean(),
            "held by racks that are no canaries",
            server_default=sa.true(),
        ),
    )
    op.add_column(
        "image",
        _may_have(
            "due_at", sa.Double(), "when these get it; null: when an admin says so, or never"
        ),
    )
    op.add_column("rack", _no("canary", "gets new versions first"))
    op.add_column(
        "rack",
        _may_have("seen_by", sa.Text(), "name of the region that it reported to last; null: none"),
    )
    op.add_column(
        "image",
        _may_have(
            "waiting_version", sa.Text(), "pinned: what an import would publish in its place"
        ),
    )
    op.add_column("rack", _may_have("selections", sa.JSON(), "all it may hold; null: everything"))
    op.add_column(
        "event",
        _may_have("told_at", sa.Double(), "as it was then, the hook's program was told of it"),
    )
    op.add_column(
        "event",
        _may_have(
            "posted_at", sa.Double(), "as it was then, the hook's web address was told of it"
        ),
    )
    op.create_table(
        "mirror_document",
        _has("source_id", KEY, "its source; it may be gone since"),
        _has("path", sa.Text(), "relative to the source's base"),
        _has("sha256", SHA256, "as it was sent; keeps the blob"),
        _may_have("retired_at", sa.Double(), "racks may fetch it for a grace time; null: shown"),
        sa.PrimaryKeyConstraint("source_id", "path", "sha256", name="pk_mirror_document"),
        comment="the documents that mirrors show: those of the last import that ended well",
    )
    op.create_table(
        "stream_key",
        _has("id", KEY, "1: there is one key"),
        _has("fingerprint", sa.Text(), "of the key"),
        _has("secret", sa.LargeBinary(), "OpenPGP secret key, without passphrase"),
        _has("public", sa.LargeBinary(), "the keyring for everybody"),
        _has("created_at", sa.Double(), "when it was made"),
        sa.PrimaryKeyConstraint("id", name="pk_stream_key"),
        comment="signs the stream of this region; one for all regions of this database",
    )
    op.create_table(
        "stream_document",
        _has("path", sa.Text(), "relative to the stream's base"),
        _has("sha256", SHA256, "keeps the blob of this name"),
        _has("basis_sha256", SHA256, "what all documents were made of"),
        _has("generation", sa.BigInteger(), "which they describe"),
        _has("updated", sa.BigInteger(), "the time they say; never goes back"),
        sa.PrimaryKeyConstraint("path", name="pk_stream_document"),
        comment="the signed documents of this region's own stream, the newest of each",
    )
    op.create_table(
        "rack_view",
        _has("number", KEY, "of the generation"),
        _has("rack", sa.Text(), "the rack's name"),
        _has("view_sha256", SHA256, "what this rack is to hold"),
        sa.PrimaryKeyConstraint("number", "rack", name="pk_rack_view"),
        comment="views of racks that do not hold everything",
    )
    op.create_table(
        "web_link",
        _has("sha256", SHA256, "of its secret, which is kept nowhere"),
        _has("name", sa.Text(), "who asked for it"),
        _has("expires_at", sa.Double(), "from then on it is worth nothing"),
        sa.PrimaryKeyConstraint("sha256", name="pk_web_link"),
        comment="one-time links to the page; a used one is gone",
    )
    op.create_table(
        "web_session",
        _has("sha256", SHA256, "of its secret, which is kept nowhere"),
        _has("name", sa.Text(), "who asked for its link"),
        _has("created_at", sa.Double(), "when the link was used"),
        _has("seen_at", sa.Double(), "when its person last did something"),
        _has("notice", sa.Text(), "what its next page says, once"),
        sa.PrimaryKeyConstraint("sha256", name="pk_web_session"),
        comment="who is logged in to the page",
    )
