"""Where a boot source is: what admins type, as a base and the path of its index (pure).

``http://host/base``, ``http://host/base/`` and ``http://host/base/streams/v1/index.sjson``
mean the same. Every path in a document is relative to the base and is joined to it as
text, after its grammar was checked: no path can lead to another host.
"""

import re

import attrs
from hyperlink import URL, URLParseError

from common.errors import WrongUsage
from common.hosts import as_uri
from regiond.sources.credentials import split_url

_INDEX = re.compile(r"^(.*/)?(streams/v1/[A-Za-z0-9._~+:-]+\.s?json)$")
SIGNED_INDEX = "streams/v1/index.sjson"
UNSIGNED_INDEX = "streams/v1/index.json"


@attrs.frozen
class SourceLocation:
    """``base`` ends in a slash and holds no credentials; it may stand in messages.

    ``authorization`` is the header that the credentials stand for, or empty.
    """

    base: str
    index_path: str
    authorization: str = attrs.field(default="", repr=False)

    @classmethod
    def parse(cls, text: str, *, unsigned: bool = False) -> "SourceLocation":
        """The location that an admin typed.

        Args:
            text: a base URL, or the URL of an index or other document in streams/v1.
            unsigned: whether the source is one without signatures.

        Raises:
            WrongUsage: not an http or https URL with a host.
        """
        text, credentials = split_url(text)
        try:
            url = as_uri(URL.from_text(text.strip()))
        except (URLParseError, ValueError) as error:
            # Where a password is not encoded, the reason may quote it.
            reason = "user or password need percent-encoding" if "@" in text else str(error)
            raise _not_a_source(text, reason) from error
        if url.scheme not in {"http", "https"} or not url.host:
            raise _not_a_source(text, "it is not an http:// or https:// address with a host")
        if url.port is None or not 0 < url.port < 65536:
            raise _not_a_source(text, f"{url.port} is not a port")
        if url.query or url.fragment:
            raise _not_a_source(text, "it has a query or fragment")
        authorization = credentials.authorization
        index = _INDEX.match(url.to_text())
        if index is not None:
            return cls(index.group(1), index.group(2), authorization)
        base = url.to_text().rstrip("/") + "/"
        return cls(base, UNSIGNED_INDEX if unsigned else SIGNED_INDEX, authorization)

    @property
    def host(self) -> str:
        """The one host that credentials are for."""
        return URL.from_text(self.base).host

    @property
    def origin(self) -> str:
        """Scheme, host and port: one server, as browsers see it."""
        return URL.from_text(self.base).replace(path=()).to_text()

    def is_same_place(self, other: "SourceLocation") -> bool:
        """Whether the same documents stand there, whoever asks for them."""
        return (self.base, self.index_path) == (other.base, other.index_path)

    def url_of(self, path: str) -> str:
        """The URL of a document or file whose path has passed its grammar."""
        return self.base + path


def _not_a_source(text: str, reason: str) -> WrongUsage:
    return WrongUsage(
        f"cannot be a boot source: {reason}",
        object=re.sub(r"//.*@", "//", text),
        code="source-url",
        remedy="give its base, for example https://images.maas.io/ephemeral-v3/stable/",
    )
