"""As whom a boot source is asked: user and password, or a bearer token (pure).

They are an admin's secret and the source's: they go out with each request to its host, and
stand in no listing, message, event or ``repr``.
"""

import base64
import re
from urllib.parse import unquote

import attrs
from hyperlink import URL, URLParseError

from common.errors import WrongUsage

# RFC 6750, section 2.1
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@attrs.frozen
class Credentials:
    """User and password, or a token, or nothing.

    Raises:
        WrongUsage: code ``source-credentials``; both kinds, or what no header can carry.
    """

    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    bearer_token: str | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        basic = self.username is not None or self.password is not None
        if basic and self.bearer_token is not None:
            raise wrong_credentials("both a user and a bearer token are given")
        if self.password is not None and self.username is None:
            raise wrong_credentials("a password without a user is given")
        if ":" in (self.username or "") or _CONTROL.search(f"{self.username}{self.password}"):
            raise wrong_credentials("user or password hold what basic authentication cannot say")
        if self.bearer_token is not None and not _TOKEN.fullmatch(self.bearer_token):
            raise wrong_credentials("the bearer token holds what a header cannot say")

    @property
    def kind(self) -> str:
        """``none``, ``basic`` or ``bearer``: all that is ever shown."""
        if self.bearer_token is not None:
            return "bearer"
        return "none" if self.username is None else "basic"

    @property
    def authorization(self) -> str:
        """The header that stands for them; "" for none."""
        if self.bearer_token is not None:
            return f"Bearer {self.bearer_token}"
        if self.username is None:
            return ""
        pair = f"{self.username}:{self.password or ''}".encode()
        return "Basic " + base64.b64encode(pair).decode("ascii")


def split_url(text: str) -> tuple[str, Credentials]:
    """A URL without user and password, and these.

    What is no URL comes back as it is, for whoever judges URLs to refuse.

    Raises:
        WrongUsage: code ``source-credentials``.
    """
    try:
        url = URL.from_text(text.strip())
    except (URLParseError, ValueError):
        return text, Credentials()
    if not url.userinfo:
        return text, Credentials()
    user, has_password, password = url.userinfo.partition(":")
    try:
        username = unquote(user, errors="strict")
        word = unquote(password, errors="strict") if has_password else None
    except UnicodeDecodeError:
        raise wrong_credentials("user or password in the URL are no text") from None
    return url.replace(userinfo="").to_text(), Credentials(username, word)


def wrong_credentials(what: str) -> WrongUsage:
    """The refusal of credentials; what they are is never part of it."""
    return WrongUsage(
        what,
        object="credentials",
        code="source-credentials",
        remedy="give username= and password=, or bearer_token=, or USER:PASSWORD@ in the URL",
    )
