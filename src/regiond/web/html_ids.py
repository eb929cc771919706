"""Names of elements (pure)."""

import hashlib
from base64 import urlsafe_b64encode


def html_id(kind: str, name: str) -> str:
    """An id for what has this name, whatever is in it: a letter for its kind, and 48 bits.

    It needs no quotation marks, in a page or in a selector that escapes nothing but a first
    digit or dash, and there are thousands of rows.
    """
    return kind + urlsafe_b64encode(hashlib.sha256(name.encode()).digest()[:6]).decode("ascii")
