"""Every durable file operation of the project: sync, rename, link, lock, remove.

The rules of this file, and the only place they are kept:

* A name appears only after its bytes are on the disk: write under a temporary name,
  ``fsync``, rename, ``fsync`` of the directory.
* A failed ``fsync`` is never tried again: the kernel may have thrown the dirty pages away
  and report success the second time. The caller gets ``StorageError`` (code
  ``storage-sync``), closes the file, opens it anew and believes only what it verifies.
* Symbolic links are never followed to a file that is written or read for content.
* Every failure is an expected error that names the path. A full disk or quota is
  ``NoSpace``; anything else is ``StorageError``.

All functions block; running daemons call them on a disk thread.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs

from common.errors import ConfigError, NoSpace, StorageError

READABLE = 0o644
SECRET = 0o600
FINISHED = 0o444

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_REMEDIES = {
    errno.EROFS: "the file system is mounted read-only: look into the kernel's log",
    errno.EACCES: "give the daemon's user read and write permission there",
    errno.EPERM: "give the daemon's user read and write permission there",
    errno.EIO: "the disk reports errors: look into the kernel's log",
    errno.ELOOP: "a symbolic link stands where a file is expected: remove it",
    errno.ENOENT: "something removed it while the daemon used it",
}
_IOV_MAX = 1024
_NO_LOCKS = frozenset({errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


@contextlib.contextmanager
def storage_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn an ``OSError`` into ``NoSpace`` or ``StorageError`` about ``path``.

    ``doing`` is what was attempted, as it stands after "cannot": "write", "rename".
    """
    try:
        yield
    except OSError as error:
        raise _expected(error, path, doing) from error


def _expected(error: OSError, path: Path, doing: str) -> NoSpace | StorageError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _FULL:
        return NoSpace(
            f"cannot {doing}: {reason}", object=str(path), remedy="free space on its file system"
        )
    remedy = _REMEDIES.get(error.errno or 0, "")
    return StorageError(f"cannot {doing}: {reason}", object=str(path), remedy=remedy)


def _sync(fd: int, path: Path, *, data_only: bool = False) -> None:
    try:
        (os.fdatasync if data_only else os.fsync)(fd)
    except OSError as error:
        expected = _expected(error, path, "sync")
        if isinstance(expected, NoSpace):
            raise expected from error
        raise StorageError(
            f"{expected.message}; what was written last may be lost",
            object=str(path),
            code="storage-sync",
            remedy="look into the kernel's log for disk errors",
        ) from error


# Directories


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = open_directory(path)
    try:
        _sync(fd, path)
    finally:
        os.close(fd)


def make_directory(path: Path, mode: int = 0o755, *, sync: bool = True) -> None:
    """Make a directory and its missing parents. One that exists stays as it is.

    ``mode`` is for the last one, whatever the umask; parents get 0755. Without ``sync`` the
    caller syncs the directories itself, all at once.
    """
    if os.path.isdir(path):  # noqa: PTH112  (unlike Path.is_dir, never raises)
        return
    make_directory(path.parent, 0o755, sync=sync)
    with storage_errors(path, "make the directory"), contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        path.chmod(mode)
    if not path.is_dir():
        raise StorageError("something else has that name", object=str(path), remedy="move it away")
    if sync:
        sync_directory(path.parent)


def remove_file(path: Path) -> None:
    """Remove one name (never what a link points to). A missing one is fine."""
    with storage_errors(path, "remove"), contextlib.suppress(FileNotFoundError):
        path.unlink()


def remove_tree(path: Path) -> None:
    """Remove a directory and all in it, following no link. A missing one is fine."""
    with storage_errors(path, "remove"), contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


# Names


def rename_durably(source: Path, target: Path) -> None:
    """Give ``source`` the name ``target``, replacing a file of that name atomically."""
    with storage_errors(target, f"rename {source.name} to it"):
        source.rename(target)
    sync_directory(target.parent)
    if source.parent != target.parent:
        sync_directory(source.parent)


def hard_link(source: Path, target: Path) -> None:
    """Give the file ``source`` a second name. Its directory is synced by the caller.

    A ``target`` that already is the same file is fine; anything else of that name is a
    ``StorageError``.
    """
    with storage_errors(target, f"link {source.name} to it"):
        try:
            os.link(source, target, follow_symlinks=False)
        except FileExistsError:
            if not os.path.samestat(source.lstat(), target.lstat()):
                raise


def make_symlink(path: Path, target: str) -> None:
    """Make the symbolic link ``path``, which must be new. Its directory is synced by the caller."""
    with storage_errors(path, "make the link"):
        path.symlink_to(target)


def replace_symlink(path: Path, target: str) -> None:
    """Let the symbolic link ``path`` point to ``target``, atomically and durably.

    Something at ``path`` that is no symbolic link is not replaced.
    """
    if os.path.lexists(path) and not path.is_symlink():
        raise StorageError(
            "is not a symbolic link, and is not replaced", object=str(path), remedy="move it away"
        )
    fresh = _temporary(path)
    remove_file(fresh)
    with storage_errors(path, "make the link"):
        fresh.symlink_to(target)
    rename_durably(fresh, path)


def set_aside(path: Path, aside: Path) -> Path:
    """Move something unexpected into the directory ``aside``, under a free name.

    Returns its new path. Nothing is followed, overwritten or deleted.
    """
    make_directory(aside)
    target = aside / path.name
    number = 0
    while os.path.lexists(target):
        number += 1
        target = aside / f"{path.name}.{number}"
    rename_durably(path, target)
    return target


def has_hard_links(source: Path, target: Path) -> bool:
    """Whether a file in the directory ``source`` can get a name in ``target`` (probed)."""
    first, second = source / ".link-probe-1", target / ".link-probe-2"
    remove_file(first)
    remove_file(second)
    with storage_errors(source, "write there"):
        os.close(os.open(first, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, SECRET))
    try:
        os.link(first, second)
    except OSError:
        return False
    else:
        return first.lstat().st_nlink == 2
    finally:
        remove_file(second)
        remove_file(first)


# Content


def _temporary(path: Path) -> Path:
    """A name no other live writer uses: two threads must never share a temporary file."""
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.new")


def write_all(fd: int, parts: Sequence[bytes], path: Path) -> None:
    """Write ``parts`` at the position of ``fd``, all of them, however short the writes."""
    pending = [memoryview(part) for part in parts if part]
    with storage_errors(path, "write"):
        while pending:
            written = os.writev(fd, pending[:_IOV_MAX])
            while pending and written >= len(pending[0]):
                written -= len(pending.pop(0))
            if written:
                pending[0] = pending[0][written:]


def write_durably(path: Path, content: bytes | Iterable[bytes], mode: int = READABLE) -> None:
    """Write a whole file so that its name holds either the old or the new content, always.

    Its directory must exist. ``mode`` is what it gets, whatever the umask.
    """
    fresh = _temporary(path)
    remove_file(fresh)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with storage_errors(path, "write"):
        fd = os.open(fresh, flags, SECRET)
    try:
        try:
            for part in (content,) if isinstance(content, bytes) else content:
                write_all(fd, (part,), path)
            with storage_errors(path, "set the mode"):
                os.fchmod(fd, mode)
            _sync(fd, path)
        finally:
            os.close(fd)
        rename_durably(fresh, path)
    except BaseException:
        # The first failure is the one to report, not that of cleaning up after it.
        with contextlib.suppress(StorageError):
            remove_file(fresh)
        raise


def _regular(fd: int, path: Path, links: int | None = None) -> int:
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode) and links in {None, found.st_nlink}:
        return fd
    os.close(fd)
    raise StorageError(
        "is not a plain file of ours, and is not touched",
        object=str(path),
        code="foreign-file",
        remedy="move it away",
    )


def open_partial(path: Path) -> int:
    """Open, or create, a file that grows; returns its descriptor, for reading and writing.

    A symbolic link, a device or a file with a second name is refused: bytes written to it
    would land somewhere else.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    with storage_errors(path, "open"):
        fd = os.open(path, flags, SECRET)
    return _regular(fd, path, links=1)


def open_for_reading(path: Path) -> int:
    """Open an existing plain file; its last component may not be a symbolic link."""
    with storage_errors(path, "open"):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    return _regular(fd, path)


def open_directory(path: Path) -> int:
    """Open a directory, to be locked or synced."""
    with storage_errors(path, "open"):
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def open_within(root: Path, path: str) -> int:
    """Open an existing plain file below a directory; no component of ``path`` may be a link.

    ``root`` itself may be one, as it was named by whoever asks.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    *parents, name = path.split("/")
    with storage_errors(root / path, "open"):
        inner = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for parent in parents:
                outer, inner = inner, os.open(parent, flags | os.O_DIRECTORY, dir_fd=inner)
                os.close(outer)
            fd = os.open(name, flags, dir_fd=inner)
        finally:
            os.close(inner)
    return _regular(fd, root / path)


def truncate(fd: int, size_bytes: int, path: Path) -> None:
    """Keep the first ``size_bytes`` of an open file, and go on writing there."""
    with storage_errors(path, "truncate"):
        os.ftruncate(fd, size_bytes)
        os.lseek(fd, size_bytes, os.SEEK_SET)


def sync_file(fd: int, path: Path) -> None:
    """Make what was written to an open file durable (data, and its size)."""
    _sync(fd, path, data_only=True)


def finish_file(fd: int, path: Path, target: Path) -> None:
    """Give a complete, verified file its final name; it is read-only from then on.

    If that name cannot be made durable, it is taken away again: nobody would sync it later.
    """
    with storage_errors(path, "set the mode"):
        os.fchmod(fd, FINISHED)
    _sync(fd, path)
    try:
        rename_durably(path, target)
    except StorageError as error:
        if error.code == "storage-sync":
            with contextlib.suppress(StorageError):
                remove_file(target)
        raise


# Locks


@attrs.define
class Lock:
    """A lock held until ``release``, or until the process ends, however it ends."""

    path: Path
    _fd: int = attrs.field(alias="fd")

    def release(self) -> None:
        """Give it up; twice is fine. The file stays, since removing it would race."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def lock_file(path: Path) -> Lock:
    """Lock the file ``path`` (made if missing) against every other process.

    Raises:
        ConfigError: another process holds it; it is named, if its number is known.
    """
    with storage_errors(path, "open the lock"):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, READABLE)
    try:
        with storage_errors(path, "lock"):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(fd, 32).decode("ascii", "replace").strip()
                by = f"process {holder}" if holder.isdigit() else "another process"
                raise ConfigError(
                    f"is in use by {by}",
                    object=str(path),
                    code="locked",
                    remedy="stop it, or give each daemon directories of its own",
                ) from None
        # Who has it is for people: on a full disk it is locked all the same.
        with contextlib.suppress(OSError):
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
    except BaseException:
        os.close(fd)
        raise
    return Lock(path, fd)


def try_lock(fd: int, path: Path) -> bool:
    """Lock an open file or directory until ``fd`` is closed; False if another has it.

    It leaves no file behind. Where a file system has no locks for it, there is none.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise _expected(error, path, "lock") from error
    return True


def lock_directory(path: Path) -> Lock:
    """Lock a directory by the file ``.lock`` in it; see ``lock_file``."""
    return lock_file(path / ".lock")
