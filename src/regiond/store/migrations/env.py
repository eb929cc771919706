"""Run by Alembic for each command; the connection comes from ``migrations.upgrade``."""

from alembic import context

from regiond.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter a table in place: steps are written for copying it.
    render_as_batch=True,
    # The whole upgrade is one transaction on both engines: all of it, or nothing.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
