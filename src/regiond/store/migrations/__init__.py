"""The schema's history: brings a database from any older version to this one (Alembic).

``versions`` holds one module per step. A step is written by hand and never changed after a
release; a test compares where all steps lead with ``regiond.store.tables``.
"""

from functools import cache

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from common.errors import ConfigError


def upgrade(conn: Connection, place: str) -> None:
    """Bring the database at ``place`` to this version's schema, in the given transaction.

    Raises:
        ConfigError: it was made by a newer version; it is left as it is.
    """
    head, known = _steps()
    found = MigrationContext.configure(conn).get_current_revision()
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
    command.upgrade(config, "head")


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
