"""Where a database is, as administrators write it."""

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from common.errors import ConfigError


def checked_address(url: str) -> URL:
    """The address of a database that we can use.

    Raises:
        ConfigError: code ``database-url``.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise _bad_url(url) from error
    backend = parsed.get_backend_name()
    if backend not in {"sqlite", "postgresql"} or not parsed.database:
        raise _bad_url(url)
    return parsed


def _bad_url(url: str) -> ConfigError:
    return ConfigError(
        "not a database address",
        object=url,
        code="database-url",
        remedy="write sqlite:////var/lib/regiond/regiond.db or postgresql://user@host/name",
    )


def is_sqlite(url: URL) -> bool:
    """Whether the database is embedded: one file of this machine."""
    return url.get_backend_name() == "sqlite"
