"""Which release this is."""

from importlib.metadata import PackageNotFoundError, version


def release() -> str:
    """The version of the installed distribution; "unknown" in a bare source tree."""
    try:
        return version("rackferry")
    except PackageNotFoundError:
        return "unknown"
