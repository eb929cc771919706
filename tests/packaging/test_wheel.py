"""The wheel: everything is in it, and it works in a clean virtual environment."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "docs", "src", "twisted")
NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.egg-info", "dropin.cache")
TWISTD = "from twisted.scripts.twistd import run; run()"


def _run(*command: str | Path, cwd: Path) -> str:
    """What a command says, in an environment that does not know this checkout."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={name: text for name, text in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode != 0:
        raise AssertionError(f"{command} gave {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


class WheelTests(SynchronousTestCase):
    """One wheel, built and installed once for all tests."""

    directory: ClassVar[Path]
    wheel: ClassVar[Path]
    python: ClassVar[Path]

    @classmethod
    def setUpClass(cls) -> None:
        """Build from a copy, so that nothing is written into the checkout."""
        cls.directory = Path(tempfile.mkdtemp(prefix="rackferry-wheel-"))
        tree = cls.directory / "tree"
        tree.mkdir()
        for part in PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, tree / part, ignore=NOT_SHIPPED)
            elif (ROOT / part).exists():
                shutil.copy(ROOT / part, tree / part)
        python = Path(sys.executable)
        _run(python, "-m", "build", "--wheel", "--no-isolation", "-o", "../dist", cwd=tree)
        (cls.wheel,) = (cls.directory / "dist").iterdir()
        cls.python = cls.directory / "venv" / "bin" / "python"
        _run(python, "-m", "venv", "--without-pip", cls.directory / "venv", cwd=cls.directory)
        pip = (python, "-m", "pip", "--disable-pip-version-check", "--python", cls.python)
        _run(*pip, "install", "--quiet", "--no-deps", cls.wheel, cwd=cls.directory)
        # The dependencies are borrowed; a directory in a .pth brings no editable install along.
        (site,) = (cls.directory / "venv" / "lib").glob("python*/site-packages")
        (site / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")

    @classmethod
    def tearDownClass(cls) -> None:
        """Nothing stays."""
        shutil.rmtree(cls.directory)

    def test_every_file_is_in_it(self) -> None:
        """All modules, plugins and migrations of the tree are in the wheel, and nothing else."""
        tree = self.directory / "tree"
        expected = {
            str(path.relative_to(base))
            for base, below in ((tree / "src", "."), (tree, "twisted"))
            for path in (base / below).rglob("*")
            if path.is_file() and not re.search(r"__pycache__|\.egg-info", str(path))
        }
        with zipfile.ZipFile(self.wheel) as archive:
            names = archive.namelist()
        shipped = {name for name in names if not re.search(r"\.(dist-info|data)/", name)}
        self.assertEqual(shipped, expected)
        self.assertIn("twisted/plugins/regiond_plugin.py", shipped)
        self.assertIn("twisted/plugins/rackd_plugin.py", shipped)
        self.assertTrue(
            any(re.match(r"regiond/store/migrations/versions/v?\d.*\.py", name) for name in shipped)
        )

    def test_what_is_imported_is_the_wheel(self) -> None:
        """The clean environment has the installed packages, not this checkout's."""
        code = "import common, rackd, regiond; print(common.__file__, rackd.__file__, regiond.__file__)"
        for path in _run(self.python, "-c", code, cwd=self.directory).split():
            self.assertTrue(path.startswith(str(self.directory / "venv")), path)

    def test_twistd_lists_both_daemons(self) -> None:
        """Twistd in that environment knows regiond and rackd."""
        text = _run(self.python, "-c", TWISTD, "--help", cwd=self.directory)
        self.assertRegex(text, r"(?m)^\s+regiond\s")
        self.assertRegex(text, r"(?m)^\s+rackd\s")

    def test_rackferry_is_a_command(self) -> None:
        """The command is there and knows its version, which is the wheel's."""
        command = self.python.parent / "rackferry"
        text = _run(command, "--version", cwd=self.directory)
        self.assertEqual(text, f"rackferry {self.wheel.name.split('-')[1]}\n")
        self.assertIn("boot-sources", _run(command, "help", cwd=self.directory))

    def test_the_manual_page_is_installed(self) -> None:
        """Where man looks for it beside the command."""
        page = self.python.parents[1] / "share" / "man" / "man1" / "rackferry.1"
        self.assertEqual(page.read_text(), (ROOT / "docs" / "rackferry.1").read_text())

    def test_the_page_is_in_it(self) -> None:
        """Templates and files, as the checkout has them."""
        shipped = set(zipfile.ZipFile(self.wheel).namelist())
        web = ROOT / "src" / "regiond" / "web"
        wanted = [path for name in ("static", "templates") for path in (web / name).iterdir()]
        self.assertGreater(len(wanted), 8)
        for path in wanted:
            self.assertIn(str(path.relative_to(ROOT / "src")), shipped)
