"""A private PostgreSQL server for the tests of this process, made from the installed binaries.

It listens on a socket in a temporary directory only, syncs nothing, and dies with the test
process, however that ends.
"""

import atexit
import functools
import getpass
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from unittest import SkipTest

import psycopg

START_LIMIT_S = 30.0


def binaries() -> Path | None:
    """The directory with ``initdb`` and ``postgres``; the newest if there are several."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = sorted(installed, key=lambda path: float(path.parts[-3]))
    return newest[-1].parent if newest else None


@functools.cache
def server_url() -> str:
    """The URL of an empty database on a server that was started for this.

    Raises:
        SkipTest: PostgreSQL is not installed.
    """
    directory = binaries()
    if directory is None or shutil.which("setpriv") is None:
        raise SkipTest("PostgreSQL is not installed (initdb, setpriv): its tests are skipped")
    home = Path(tempfile.mkdtemp(prefix="rf-pg-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    user, become = _unprivileged(home)
    subprocess.run(
        [
            *become,
            directory / "initdb",
            "--pgdata", home / "data",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--username", user,
        ],
        check=True,
        capture_output=True,
        cwd=home,
    )  # fmt: skip
    options = ("listen_addresses=", f"unix_socket_directories={home}", "fsync=off",
               "max_connections=40", "shared_buffers=64MB")  # fmt: skip
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [*become, "--pdeathsig=KILL", directory / "postgres", "-D", home / "data"]
            + [word for option in options for word in ("-c", option)],
            stdout=log,
            stderr=log,
            cwd=home,
        )
    atexit.register(server.wait)
    atexit.register(server.kill)
    url = f"postgresql://{user}@/postgres?host={home}"
    _wait_for(url, server, home / "log")
    return url


def _unprivileged(home: Path) -> tuple[str, list[str]]:
    """PostgreSQL refuses to run as root: (user name, the command that becomes that user)."""
    if os.geteuid() != 0:
        return getpass.getuser(), ["setpriv"]
    names = {entry.pw_name for entry in pwd.getpwall()}
    entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    os.chown(home, entry.pw_uid, entry.pw_gid)
    become = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
    return entry.pw_name, become


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(log.read_text()) from error
            time.sleep(0.05)
        else:
            return


# Deleting the few rows of a test takes a tenth of what TRUNCATE takes for all tables. Chunks are
# large, and what is deleted of them would stay on the disk for long.
_EMPTY = """
DO $$
DECLARE name text;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR name IN SELECT tablename FROM pg_tables
            WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
        IF name <> 'chunk' THEN
            EXECUTE format('DELETE FROM %I', name);
        ELSIF EXISTS (SELECT FROM chunk) THEN
            TRUNCATE chunk;
        END IF;
    END LOOP;
    PERFORM setval(format('%I', sequencename)::regclass, 1, false) FROM pg_sequences
        WHERE schemaname = 'public' AND last_value IS NOT NULL;
END $$
"""


def emptied() -> str:
    """The server's URL, with every row of every table of ours gone and ids from 1 again."""
    url = server_url()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_EMPTY)
    return url


def without_schema() -> str:
    """The server's URL, with nothing in the database at all."""
    url = server_url()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return url
