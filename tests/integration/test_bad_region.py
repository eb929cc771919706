"""A region that cannot start says so in one line, and harms neither its data nor others."""

import socket
import sqlite3
from contextlib import closing

from common.errors import ConfigError
from common.shell.local import check_config
from tests.integration.bad_input import StartCase, change_database
from tests.integration.shells import ShellFailed, run_shell
from tests.integration.sources import LOOPBACK


class ConfigurationTests(StartCase):
    """What the configuration may say."""

    async def test_a_port_in_use_is_named(self) -> None:
        """Each port that somebody has is named with its key, and nothing is left behind."""
        site = self.other()
        for name, port in (("web", site.ports.web), ("rpc", site.ports.rpc)):
            with socket.socket() as taken:
                taken.bind((LOOPBACK, port))
                taken.listen()
                line = self.last_words(site.region)
            self.assertIn(f"port in use: tcp:{port}:interface={LOOPBACK} ({name})", line)
            self.assertIn("change [listen]", line)
        site.region.start()
        await self.assert_unharmed()

    async def test_a_second_region_at_the_same_socket(self) -> None:
        """The admin socket of a running region is not taken from it."""
        site = self.other()
        text = site.region_config.read_text()
        site.region_config.write_text(
            text.replace(str(site.region_socket), str(self.site.region_socket))
        )
        line = self.last_words(site.region)
        self.assertIn(f"port in use: unix:{self.site.region_socket}", line)
        await self.assert_unharmed()

    async def test_wrong_configuration_names_file_key_and_reason(self) -> None:
        """An unknown key, a wrong type and a wrong value: daemon and check-config say the same."""
        site = self.other()
        cases = {
            "names = []": 'unknown key "names" (nearest: name)',
            "admin_group = 5": "admin_group: expected a string, not 5",
            'default_boot_source = "no"': "default_boot_source: expected true or false, not 'no'",
            'database = "mysql://host/name"': "database: expected sqlite:////ABSOLUTE/PATH or",
            'state_dir = "here"': 'state_dir: "here" is not an absolute path',
            'name = "a/b"': 'name: "a/b" is not a name',
            "name = ": "not TOML",
            '[listen]\nweb = "tcp:80000"': 'listen.web: "tcp:80000": no such port',
            '[listen]\nwebb = "tcp:80"': 'listen: unknown key "webb" (nearest: web)',
        }
        started = ("names = []",)
        for text, reason in cases.items():
            site.region_config.write_text(f"{text}\n")
            error = self.assertRaises(ConfigError, check_config, site.region_config)
            self.assertEqual((error.code, error.object), ("config", str(site.region_config)))
            self.assertIn(reason, error.message)
            self.assertNotIn("\n", error.message)
            if text in started:
                self.assertEqual(self.last_words(site.region), f"regiond: {error.line()}")
                with self.assertRaises(ShellFailed) as caught:
                    run_shell(["check-config", str(site.region_config)])
                self.assertEqual(caught.exception.exit_code, 1)
                self.assertEqual(caught.exception.error, error.to_json())
        await self.assert_unharmed()


class DatabaseTests(StartCase):
    """What the database may be."""

    async def test_a_database_that_cannot_be_written_is_named(self) -> None:
        """A directory or a file without write permission, or in the way: named, with a remedy."""
        site = self.other()
        self.bound_by_modes(site.region)
        shut = self.make(site.directory / "shut", 0o500)
        site.write_region_config(database=f"sqlite:///{shut / 'regiond.db'}")
        line = self.last_words(site.region)
        self.assertIn(str(shut), line)
        self.assertIn("Permission denied", line)
        self.assertIn("write permission", line)

        file = site.directory / "only" / "regiond.db"
        file.parent.mkdir()
        sqlite3.connect(file).execute("VACUUM").connection.close()
        file.chmod(0o400)
        site.write_region_config(database=f"sqlite:///{file}")
        line = self.last_words(site.region)
        self.assertIn(f"regiond: {file}: the database cannot be read or written", line)
        self.assertIn("permissions of the database", line)

        site.write_region_config(database=f"sqlite:///{file.parent}")
        line = self.last_words(site.region)
        self.assertIn(f"regiond: {file.parent}: the database cannot be", line)
        await self.assert_unharmed()

    async def test_a_state_directory_that_cannot_be_written_is_named(self) -> None:
        """Keys that cannot be kept stop the start before a port is open."""
        site = self.other()
        self.bound_by_modes(site.region)
        self.make(site.directory / "region", 0o500)
        line = self.last_words(site.region)
        self.assertIn(f"regiond: {site.directory / 'region'}", line)
        self.assertIn("Permission denied", line)
        await self.assert_unharmed()

    async def test_something_else_than_a_database_is_left_alone(self) -> None:
        """A file that is no database is named and not one byte of it is changed."""
        site = self.other()
        file = site.directory / "notes.db"
        file.write_bytes(b"my notes, and no database at all\n" * 100)
        site.write_region_config(database=f"sqlite:///{file}")
        line = self.last_words(site.region)
        self.assertIn(f"regiond: {file}: the database is damaged (file is not a database)", line)
        self.assertEqual(file.read_bytes(), b"my notes, and no database at all\n" * 100)
        await self.assert_unharmed()

    async def test_a_database_in_use_by_another_regiond(self) -> None:
        """The second regiond names the file and the first one's process; the first goes on."""
        site = self.other()
        file = self.site.directory / "region" / "regiond.db"
        site.write_region_config(database=f"sqlite:///{file}")
        line = self.last_words(site.region)
        self.assertIn(f"regiond: {file}: the database is locked by another regiond", line)
        self.assertIn(f"process {self.site.region.pid}", line)
        self.assertIn("stop the other one", line)
        await self.assert_unharmed()

    async def test_a_database_of_a_newer_version_is_left_as_it_is(self) -> None:
        """It is refused by its schema's name, unchanged, and the right version takes it up again."""
        file = self.site.directory / "region" / "regiond.db"
        self.site.region.stop()
        ((known,),) = change_database(self.site, "SELECT version_num FROM alembic_version")
        change_database(self.site, "UPDATE alembic_version SET version_num = '9999'")
        with closing(sqlite3.connect(file)) as connection:
            before = list(connection.iterdump())
        line = self.last_words(self.site.region)
        self.assertIn(f"regiond: {file}: the database is from a newer version", line)
        self.assertIn("9999", line)
        self.assertIn("install that version again", line)
        with closing(sqlite3.connect(file)) as connection:
            self.assertEqual(list(connection.iterdump()), before)
        change_database(self.site, f"UPDATE alembic_version SET version_num = '{known}'")
        self.site.region.start()
        await self.assert_unharmed()

    async def test_a_database_that_stops_being_writable_serves_on(self) -> None:
        """While another program holds the write lock, questions are answered and bytes served."""
        file = self.site.directory / "region" / "regiond.db"
        with closing(sqlite3.connect(file, timeout=20, isolation_level=None)) as rival:
            rival.execute("BEGIN IMMEDIATE")
            error = await self.refused("rack-controllers create-token name=late", "database-busy")
            self.assertEqual(error.object, str(file))
            await self.assert_unharmed()
            rival.execute("ROLLBACK")
        token = await self.ask("rack-controllers create-token name=late")
        self.assertTrue(token["token"].startswith("rg1."))
