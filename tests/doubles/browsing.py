"""A region's page on a real port, and a small browser without scripts."""

import re
from collections.abc import Mapping
from html import unescape
from typing import Any
from urllib.parse import urlencode

import attrs
import treq
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.web.client import Agent, HTTPConnectionPool

from common.answering import Answers
from common.config import RegiondConfig
from common.throttle import Throttle
from regiond.web.site import web_site
from regiond.web.wiring import make_web
from tests.doubles.answering import AnswerCase


@attrs.frozen
class Answered:
    """What a browser got."""

    status: int
    headers: Any
    text: str

    def header(self, name: str) -> str:
        """The last of that name; "" if there is none."""
        return str((self.headers.getRawHeaders(name) or [""])[-1])

    @property
    def title(self) -> str:
        """The page's heading."""
        found = re.search(r"<h1>(.*?)</h1>", self.text)
        return found[1] if found else ""

    @property
    def form_token(self) -> str:
        """That of the first form; "" if there is none."""
        found = re.search(r'name="token" value="([^"]*)"', self.text)
        return found[1] if found else ""

    @property
    def notice(self) -> str:
        """What it says of what was done, and what to think of; "" if nothing was."""
        found = re.findall(
            r'<p class="note(?: good" role="status|" role="alert)">(.*?)</p>', self.text
        )
        return " ".join(map(unescape, found))

    def value_of(self, name: str) -> str:
        """Of a hidden or text field."""
        found = re.search(rf'name="{name}"[^>]*value="([^"]*)"', self.text)
        return unescape(found[1]) if found else ""

    @property
    def ticked(self) -> set[str]:
        """The boxes that are ticked."""
        return {
            unescape(value)
            for value, rest in re.findall(r'name="want"[^>]*value="([^"]*)"([^>]*)>', self.text)
            if "checked" in rest
        }

    def row_of(self, text: str) -> str:
        """The text of the first table row with that text in it."""
        for row in re.findall(r"<tr.*?(?=<tr|</t)", self.text, re.DOTALL):
            if text in row:
                return " ".join(unescape(re.sub(r"<[^>]*>", " ", row)).split())
        raise AssertionError(f"no row has {text!r}: {self.text}")


class Browser:
    """Keeps a cookie, follows nothing by itself, and says where its forms come from."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.cookie = ""
        self.pool = HTTPConnectionPool(reactor, persistent=False)
        self._http = treq.client.HTTPClient(Agent(reactor, pool=self.pool))

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answered:
        """One request."""
        more = {name.replace("_", "-"): value for name, value in headers.items() if value}
        if self.cookie:
            more["cookie"] = self.cookie
        response = await self._http.request(
            method, self.url + path, data=body, headers=more, allow_redirects=False
        )
        for each in response.headers.getRawHeaders("set-cookie", []):
            value = each.partition(";")[0]
            self.cookie = value if not value.endswith("=") else ""
        content = await response.content()
        return Answered(response.code, response.headers, content.decode())

    async def get(self, path: str = "/") -> Answered:
        """A page."""
        return await self.ask("GET", path)

    async def post(
        self, path: str, form: Mapping[str, str | list[str]] | None = None, **headers: str
    ) -> Answered:
        """A form of ours, with the token of the page that is open, unless ``form`` has another."""
        fields: dict[str, str | list[str]] = {"token": (await self.get()).form_token}
        fields |= form or {}
        said = {
            "content_type": "application/x-www-form-urlencoded",
            "origin": self.url,
            "sec_fetch_site": "same-origin",
        }
        body = urlencode(fields, doseq=True).encode()
        return await self.ask("POST", path, body, **(said | headers))


class PageCase(AnswerCase):
    """A region whose page is served.

    Attributes:
        browser: nobody is logged in there.
        web: the page's parts.
        more: further keys of regiond.toml.
    """

    more: Mapping[str, Any] = {}

    async def setUp(self) -> None:
        await super().setUp()
        config = RegiondConfig(name="region-1", **self.more)
        keeping = Answers(self.answers.answer, self.region.note)
        self.web = make_web(
            config,
            lambda question: keeping.answer(question, lambda _: None),
            region=self.region,
            imports=self.import_status,
            boot_sources=self.boot_sources,
            selections=self.selections,
            fleet=self.fleet,
            sessions=self.web_sessions,
            pulse=lambda: (self.imports.is_importing, self.fleet.stirs),
            clock=reactor,
        )
        self.database.subscribe(lambda _: self.web.live.note_change())
        port = reactor.listenTCP(0, self.site(), interface="127.0.0.1")
        self.url = f"http://127.0.0.1:{port.getHost().port}"
        self.browser = Browser(self.url)
        self.addCleanup(self.let_go, port)

    def site(self) -> Any:
        async def well() -> None:
            pass

        return web_site(
            well, well, {}, reactor, self.web.children, throttle=Throttle(lambda: None, reactor)
        )

    async def let_go(self, port: Any) -> None:
        await self.web.live.stopService()
        await self.imports.stop_import()
        await deferLater(reactor, 0.02)  # connections close a turn later
        await port.stopListening()

    async def log_in(self, browser: Browser | None = None) -> Browser:
        """Log in as alice."""
        browser = browser or self.browser
        secret, _ = await self.web_sessions.create_link("alice")
        answered = await browser.post("/login", {"code": f"{self.url}/login#{secret}"})
        self.assertEqual((answered.status, answered.header("location")), (303, "/"))
        return browser
