"""The schema's history: brings a database from any older version to this one (Alembic).

``versions`` holds one module per step. A step is written by hand and never changed after a
release; a test compares where all steps lead with ``regiond.store.tables``.
"""

from functools import cache

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from common.errors import ConfigError, StorageError


def upgrade(conn: Connection, place: str) -> None:
    """Bring the database at ``place`` to this version's schema, in the given transaction.

    Raises:
        ConfigError: it was made by a newer version; it is left as it is.
        StorageError: code ``database-damaged``; it is not what it says that it is.
    """
    head, known = _steps()
    try:
        found = MigrationContext.configure(conn).get_current_revision()
    except CommandError as error:
        raise _contradiction(place, error) from error
    if found == head:
        return
    if found is not None and found not in known:
        raise ConfigError(
            f"the database is from a newer version of Rackferry (its schema is {found})",
            object=place,
            code="database-newer",
            remedy="install that version again, or restore a backup made by this one",
        )
    config = _config()
    config.attributes["connection"] = conn
    try:
        command.upgrade(config, "head")
    except OperationalError as error:
        if "already exists" not in str(error.orig):
            raise
        raise _contradiction(place, error.orig) from error


def _contradiction(place: str, why: object) -> StorageError:
    return StorageError(
        f"the database is damaged (its schema is not the one that it says: {why})",
        object=place,
        code="database-damaged",
    )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "regiond.store:migrations")
    return config


@cache
def _steps() -> tuple[str | None, frozenset[str]]:
    """The newest step, and all of them; reading them takes longer than opening a database."""
    scripts = ScriptDirectory.from_config(_config())
    return scripts.get_current_head(), frozenset(
        script.revision for script in scripts.walk_revisions()
    )
