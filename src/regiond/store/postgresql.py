"""PostgreSQL, for several regions on one database.

Readers get binary results: a chunk as text would cost twice the bytes and five times the
time. (Writers do not: SQLAlchemy cannot inspect a schema in binary.) Writers are SERIALIZABLE, so that what a transaction has read (no
reference to this blob, no such lease) still holds when it commits; the loser of a race is
tried again. The schema sets ``STORAGE EXTERNAL`` on chunk data: images do not compress.
"""

from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, func, select
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from common.errors import ConfigError
from regiond.store.compiled import EXECUTION_OPTIONS, OneOfAKind

STATEMENT_LIMIT_MS = 30_000
IDLE_LIMIT_MS = 60_000


class SharedDialect(OneOfAKind, PGDialect_psycopg):
    """PostgreSQL, by psycopg."""

    supports_statement_cache = True  # asked of this very class


registry.register("postgresql.shared", __name__, SharedDialect.__name__)


def size_bytes(conn: Connection) -> int:
    """What the database takes on its server."""
    return int(conn.execute(select(func.pg_database_size(func.current_database()))).scalar_one())


def make_engines(url: URL) -> tuple[Engine, Engine]:
    """(writer, reader).

    Raises:
        ConfigError: the driver is not installed.
    """
    try:
        import psycopg  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        raise ConfigError(
            "the driver for PostgreSQL is not installed",
            object=url.render_as_string(),
            code="database-driver",
            remedy="install rackferry[postgresql]",
        ) from error

    class BinaryCursor(psycopg.Cursor[Any]):
        """A cursor whose results come in binary."""

        def __init__(self, connection: psycopg.Connection[Any], **options: Any) -> None:
            super().__init__(connection, **options)
            self.format = psycopg.pq.Format.BINARY

    settings = {
        "synchronous_commit": "on",
        "statement_timeout": STATEMENT_LIMIT_MS,
        "idle_in_transaction_session_timeout": IDLE_LIMIT_MS,
    }
    arguments = {
        "connect_timeout": 10,
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
    }
    url = url.set(drivername="postgresql+shared")
    writer = create_engine(
        url,
        connect_args=arguments,
        pool_pre_ping=True,
        isolation_level="SERIALIZABLE",
        execution_options=EXECUTION_OPTIONS,
    )
    reader = create_engine(
        url,
        connect_args={**arguments, "cursor_factory": BinaryCursor},
        pool_pre_ping=True,
        isolation_level="REPEATABLE READ",
        execution_options=EXECUTION_OPTIONS,
    )
    return writer, reader
