"""An HTTP proxy, and what can be said of a host whose name only the proxy resolves."""

import base64
from urllib.parse import unquote

import attrs
from hyperlink import URL, URLParseError

from common.errors import SourceError, TransferError, WrongUsage
from common.hosts import address_of, as_uri, is_public


@attrs.frozen
class Proxy:
    """An HTTP proxy. ``authorization`` is the header of its user and password, or empty."""

    host: str
    port: int
    authorization: str = attrs.field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> "Proxy":
        """The proxy that an admin typed: ``http://[user:password@]host:port``.

        Raises:
            WrongUsage: code ``source-proxy-url``; the text is never repeated in it.
        """
        try:
            url = URL.from_text(text.strip())
            words = [unquote(word, errors="strict") for word in url.userinfo.split(":", 1)]
            host: str = as_uri(URL(host=url.host)).host
        except (URLParseError, ValueError):
            raise _no_proxy("it is no address") from None
        port = url.port or 0
        if url.scheme != "http" or not url.host or not 0 < port < 65536:
            raise _no_proxy("it is not an http:// address with a host")
        if any(url.path) or url.query or url.fragment:
            raise _no_proxy("there is something after its port")
        if not url.userinfo:
            return cls(host, port)
        pair = f"{words[0]}:{''.join(words[1:])}".encode()
        return cls(host, port, "Basic " + base64.b64encode(pair).decode("ascii"))

    @property
    def name(self) -> str:
        """As messages call it: without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def fault(self, what: str) -> TransferError:
        """It does not do what a proxy does; worth another try."""
        return TransferError(
            f"the proxy {self.name} {what}",
            code="transfer-proxy",
            remedy="look at the proxy, and at proxy= of the boot source",
        )

    def not_welcome(self) -> SourceError:
        """It asks for another user or password, or for any."""
        given = "refuses the user and password" if self.authorization else "asks for a password"
        return SourceError(
            f"the proxy {self.name} {given} (407)",
            code="source-proxy-auth",
            remedy="give the boot source proxy=http://USER:PASSWORD@HOST:PORT",
        )


def is_surely_private(host: str) -> bool:
    """Whether a host is not public by its name alone: for where a proxy resolves names.

    That is an address that is not public, however it is written, and a name that only this
    machine or its network knows. Any other name may still lead to a private address: which
    ones a proxy connects to is for its own rules.
    """
    address = address_of(host)
    if address is not None:
        return not is_public(address)
    name = host.rstrip(".").lower()
    return "." not in name or name.rpartition(".")[2] in {"localhost", "local", "internal"}


def _no_proxy(why: str) -> WrongUsage:
    return WrongUsage(
        f"proxy= cannot be a proxy: {why}",
        object="proxy",
        code="source-proxy-url",
        remedy="give http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT in percent-encoding",
    )
