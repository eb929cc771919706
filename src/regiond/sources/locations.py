"""Where a boot source is: what admins type, as a base and the path of its index (pure).

``http://host/base``, ``http://host/base/`` and ``http://host/base/streams/v1/index.sjson``
mean the same. Every path in a document is relative to the base and is joined to it as
text, after its grammar was checked: no path can lead to another host.
"""

import base64
import re
from urllib.parse import unquote_to_bytes

import attrs
from hyperlink import URL, URLParseError

from common.errors import WrongUsage

_INDEX = re.compile(r"^(.*/)?(streams/v1/[A-Za-z0-9._~+:-]+\.s?json)$")
SIGNED_INDEX = "streams/v1/index.sjson"
UNSIGNED_INDEX = "streams/v1/index.json"


@attrs.frozen
class SourceLocation:
    """``base`` ends in a slash and holds no credentials; it may stand in messages.

    ``authorization`` is the header that user and password in the URL stand for, or empty.
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
        try:
            url = _as_uri(URL.from_text(text.strip()))
        except (URLParseError, ValueError) as error:
            raise _not_a_source(text, str(error)) from error
        if url.scheme not in {"http", "https"} or not url.host:
            raise _not_a_source(text, "it is not an http:// or https:// address with a host")
        if url.port is None or not 0 < url.port < 65536:
            raise _not_a_source(text, f"{url.port} is not a port")
        if url.query or url.fragment:
            raise _not_a_source(text, "it has a query or fragment")
        bare = url.replace(userinfo="").to_text()
        index = _INDEX.match(bare)
        if index is not None:
            return cls(index.group(1), index.group(2), _basic(url))
        return cls(
            bare.rstrip("/") + "/", UNSIGNED_INDEX if unsigned else SIGNED_INDEX, _basic(url)
        )

    def url_of(self, path: str) -> str:
        """The URL of a document or file whose path has passed its grammar."""
        return self.base + path


def _as_uri(url: URL) -> URL:
    """In ASCII. IPv6 addresses are left out of it: IDNA does not know them."""
    if ":" in url.host:
        return url.replace(host="ipv6").to_uri().replace(host=url.host)
    return url.to_uri()


def _basic(url: URL) -> str:
    if not url.userinfo:
        return ""
    return "Basic " + base64.b64encode(unquote_to_bytes(url.userinfo)).decode("ascii")


def _not_a_source(text: str, reason: str) -> WrongUsage:
    return WrongUsage(
        f"cannot be a boot source: {reason}",
        object=re.sub(r"//[^/@]*@", "//", text),
        code="source-url",
        remedy="give its base, for example https://images.maas.io/ephemeral-v3/stable/",
    )
