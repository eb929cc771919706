"""The schema's history: brings a database from any older version to this one (Alembic).

``versions`` holds one module per step. A step is written by hand and never changed after a
release; a test compares where all steps lead with ``regiond.store.tables``.
"""

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
    config = Config()
    config.set_main_option("script_location", "regiond.store:migrations")
    config.attributes["connection"] = conn
    scripts = ScriptDirectory.from_config(config)
    found = MigrationContext.configure(conn).get_current_revision()
    if found == scripts.get_current_head():
        return
    known = {script.revision for script in scripts.walk_revisions()}
    if found is not None and found not in known:
        raise ConfigError(
            f"the database is from a newer version of Rackferry (its schema is {found})",
            object=place,
            code="database-newer",
            remedy="install that version again, or restore a backup made by this one",
        )
    command.upgrade(config, "head")
