"""What the page lets through: whose request it is, and that a form is really ours (pure).

A browser sends its cookie with whatever any page makes it ask, so every POST has to come
from a page of this region: by the session's own token in the form, and by what the browser
itself says of where the form was (``Sec-Fetch-Site``, ``Origin``).
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping

import attrs

from common.errors import Refused

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # With no-referrer a browser would say "Origin: null" in our own forms, too (ADR 14).
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer to people."""


@attrs.frozen
class Asked:
    """A request, as far as the page looks at it.

    Attributes:
        method: GET or POST; HEAD is asked as GET.
        path: without the query.
        query: the last value of each.
        form: the values of each field.
        secret: of the session, from the cookie; "" if there is none.
        address: who is asking.
        host: of the Host header.
        origin, fetch_site, if_none_match: as the browser says; "" if it does not.
    """

    method: str
    path: str
    query: Mapping[str, str] = attrs.field(factory=dict)
    form: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict, repr=False)
    secret: str = attrs.field(default="", repr=False)
    address: str = ""
    host: str = ""
    origin: str = ""
    fetch_site: str = ""
    if_none_match: str = ""

    def field(self, name: str) -> str:
        """The text in a field of the form, without white space around it."""
        return self.form.get(name, ("",))[-1].strip()


@attrs.frozen
class Outside:
    """How the page is reached: ``url`` as configured, "" for plain HTTP without a proxy."""

    url: str = ""

    @property
    def is_secure(self) -> bool:
        """Whether browsers come by HTTPS."""
        return self.url.startswith("https://")

    def _cookie_name(self, host: str) -> str:
        """With the prefix, browsers take it from this very host and by HTTPS only.

        They know no ports: without the one of ``host`` two regions behind tunnels, both at
        localhost, would take each other's cookie away.
        """
        if self.is_secure:
            return "__Host-rackferry"
        port = host.rpartition(":")[2]
        return f"rackferry-{port}" if port.isascii() and port.isdecimal() else "rackferry"

    def cookie(self, secret: str, host: str) -> str:
        """The cookie of a session, at that Host; with "", one that takes it away."""
        ends = "" if secret else "; Max-Age=0"
        secure = "; Secure" if self.is_secure else ""
        name = self._cookie_name(host)
        return f"{name}={secret}; Path=/; HttpOnly; SameSite=Strict{secure}{ends}"

    def secret_in(self, cookies: str, host: str) -> str:
        """The session's secret in a Cookie header; "" if there is none.

        Whatever else runs on this host, on any port, has its cookies there, too, and in forms
        at which ``http.cookies`` gives up; browsers split at semicolons and nowhere else.
        """
        wanted = self._cookie_name(host)
        pairs = (each.strip().partition("=") for each in cookies.split(";"))
        return next((value for name, _, value in pairs if name == wanted), "")

    def demand_own_form(self, asked: Asked) -> None:
        """Let a form through only from a page of ours.

        Raises:
            Refused: code ``web-origin``; the browser says that it was elsewhere.
        """
        own = self.url or f"http://{asked.host}"
        if asked.fetch_site:
            is_own = asked.fetch_site == "same-origin"
        else:
            is_own = asked.origin in {"", own}
        if not is_own:
            raise Refused(
                "this form was not sent from a page of this region",
                object=asked.path,
                code="web-origin",
                remedy="open the page itself; behind a proxy, set web_url",
            )


def form_token(secret: str) -> str:
    """What every form of a session holds; nobody else can know it."""
    digest = hmac.digest(secret.encode("utf-8", "surrogateescape"), b"form", hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def demand_token(asked: Asked) -> None:
    """Let a form through only with its session's token.

    Raises:
        Refused: code ``web-form``.
    """
    given = asked.field("token").encode("utf-8", "surrogateescape")
    if not hmac.compare_digest(given, form_token(asked.secret).encode()):
        raise Refused(
            "this form belongs to another session",
            object=asked.path,
            code="web-form",
            remedy="open the page again",
        )
