"""Names on a disk are made, changed, removed and synced by one module alone."""

import ast
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

SRC = Path(__file__).resolve().parents[2] / "src"

# What changes a file system, as a function of ``os`` or ``shutil``, and as a method of a path.
FUNCTIONS = {
    "os": frozenset(
        [
            "fdatasync",
            "fsync",
            "ftruncate",
            "link",
            "makedirs",
            "mkdir",
            "pwrite",
            "pwritev",
            "remove",
            "removedirs",
            "rename",
            "renames",
            "replace",
            "rmdir",
            "symlink",
            "sync",
            "truncate",
            "unlink",
            "write",
            "writev",
        ]
    ),
    "shutil": frozenset(["copy", "copy2", "copyfile", "copytree", "move", "rmtree"]),
}
METHODS = frozenset(
    [
        "hardlink_to",
        "mkdir",
        "rename",
        "rmdir",
        "symlink_to",
        "touch",
        "unlink",
        "write_bytes",
        "write_text",
    ]
)
WRITING = frozenset(a + b for a in "wax" for b in ("", "b", "t", "+", "b+", "+b")) | {"r+b", "rb+"}
ELSEWHERE = {
    ("common/shell/history.py", "mkdir"): "the history of a person's prompt",
    ("common/shell/history.py", "touch"): "the history of a person's prompt",
    ("common/shell/history.py", "write_bytes"): "the history of a person's prompt",
}


def file_operations(module: str) -> set[str]:
    """The operations that the text of a module calls or names."""
    found = set()
    for node in ast.walk(ast.parse(module)):
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if node.attr in FUNCTIONS.get(owner, METHODS):
                found.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and node.module in FUNCTIONS:
            found |= {each.name for each in node.names} & FUNCTIONS[node.module]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("open"):
            words = [*node.args, *(each.value for each in node.keywords)]
            if any(isinstance(each, ast.Constant) and each.value in WRITING for each in words):
                found.add("open")
    return found


class OneModuleTests(SynchronousTestCase):
    """Who does what to the disk."""

    def test_only_there(self) -> None:
        """No module but ``common.durable`` changes names or files, and the exceptions exist."""
        found = {
            (str(path.relative_to(SRC)), operation)
            for path in SRC.rglob("*.py")
            for operation in file_operations(path.read_text())
        }
        durable = {operation for path, operation in found if path == "common/durable.py"}
        elsewhere = {each for each in found if each[0] != "common/durable.py"}
        self.assertEqual(elsewhere, set(ELSEWHERE))
        self.assertLessEqual({"fsync", "fdatasync", "link", "rename", "unlink"}, durable)

    def test_seen(self) -> None:
        """Each way of writing such an operation is seen."""
        for text, operation in {
            "import os\nos.fsync(3)": "fsync",
            "from os import rename": "rename",
            "path.parent.unlink()": "unlink",
            "shutil.rmtree(path)": "rmtree",
            "sync = os.fdatasync": "fdatasync",
            "open('x', 'w')": "open",
            "Path('x').open(mode='ab')": "open",
        }.items():
            self.assertEqual(file_operations(text), {operation}, text)
        self.assertEqual(file_operations("os.read(3, 1); 'a'.replace('b', 'c'); open('y')"), set())
