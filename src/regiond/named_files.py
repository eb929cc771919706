"""Files that an admin names: keyrings and certificates. Read in a thread, and with a bound."""

from pathlib import Path

MOST_BYTES = 16 << 20


def read_named(path: Path) -> bytes:
    """The content of a file that an admin named.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger than 16 MiB;
            ``strerror`` says which.
    """
    if not path.is_file():
        path.stat()  # says so if it is not there
        raise OSError(None, "Not a file")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(None, f"Larger than {MOST_BYTES >> 20} MiB")
    return content
