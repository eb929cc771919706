"""Who gets in, and what comes from a page of ours: over real HTTP."""

from typing import Any

from common.vocabulary import BY_NAME
from regiond.web.front import PATHS
from regiond.web.guard import HEADERS
from regiond.web_sessions import IDLE_LIMIT_S, LINK_LIFETIME_S
from tests.doubles.browsing import Browser, PageCase


class LoginTests(PageCase):
    async def test_without_a_login_there_is_the_way_to_one(self) -> None:
        """Every page answers 200 with the login, and nothing of the region's."""
        for path in ("/", "/racks", "/events", "/login"):
            answered = await self.browser.get(path)
            self.assertEqual((answered.status, answered.title), (200, "Log in"))
            self.assertIn("rackferry web-login", answered.text)

    async def test_a_link_of_the_shell_lets_in(self) -> None:
        """What web-login prints, pasted whole, opens the page as whoever asked for it."""
        made = await self.ask("web-login")
        self.assertRegex(made["url"], r"^http://region\.example:5240/login#[\w-]{43}$")
        answered = await self.browser.post("/login", {"code": made["url"]})
        self.assertEqual(answered.status, 303)
        page = await self.browser.get()
        self.assertEqual((page.status, page.title), (200, "Images"))
        self.assertIn("somebody", page.text)

    async def test_looking_at_a_link_does_not_use_it_up(self) -> None:
        """A chat's preview gets the login page, and the link still works; then no more."""
        secret, _ = await self.web_sessions.create_link("alice")
        for method in ("GET", "HEAD", "GET"):
            self.assertEqual((await self.browser.ask(method, "/login")).status, 200)
        self.assertEqual((await self.browser.post("/login", {"code": secret})).status, 303)
        again = await Browser(self.url).post("/login", {"code": secret})
        self.assertEqual(again.status, 403)
        self.assertIn("used already", again.text)

    async def test_a_link_is_good_for_ten_minutes(self) -> None:
        """And not a second longer."""
        secret, expires_at = await self.web_sessions.create_link("alice")
        self.assertEqual(expires_at, self.time + LINK_LIFETIME_S)
        self.time += LINK_LIFETIME_S
        self.assertEqual((await self.browser.post("/login", {"code": secret})).status, 403)

    async def test_whoever_guesses_is_slowed_down(self) -> None:
        """Twenty attempts a second of all together, then 429 and when to come back."""
        people: Any = self.web.children["login"]
        self.patch(people._answer.__self__, "_clock", lambda: 100.0)
        for _ in range(20):
            self.assertEqual((await self.browser.post("/login", {"code": "x"})).status, 403)
        refused = await self.browser.post("/login", {"code": "x"})
        self.assertEqual((refused.status, refused.header("retry-after")), (429, "5"))
        self.assertIn("web-login-too-often", refused.text)

    async def test_whoever_fails_often_locks_nobody_out(self) -> None:
        """Behind a proxy all have its address."""
        for _ in range(10):
            self.assertEqual((await self.browser.post("/login", {"code": "x"})).status, 403)
        await self.log_in(Browser(self.url))

    async def test_the_cookie_is_for_this_page_alone(self) -> None:
        """No script reads it, no other site sends it."""
        secret, _ = await self.web_sessions.create_link("alice")
        answered = await self.browser.post("/login", {"code": secret})
        cookie = answered.header("set-cookie")
        self.assertRegex(cookie, r"^rackferry-\d+=[\w-]{43}; Path=/; HttpOnly; SameSite=Strict$")

    async def test_a_session_ends_when_it_is_idle_or_logged_out(self) -> None:
        """Each request keeps it for twelve hours; afterwards the cookie is worth nothing."""
        browser = await self.log_in()
        self.time += IDLE_LIMIT_S - 60
        self.assertEqual((await browser.get()).title, "Images")
        self.time += IDLE_LIMIT_S - 60
        self.assertEqual((await browser.get()).title, "Images")
        self.time += IDLE_LIMIT_S
        self.assertEqual((await browser.get()).title, "Log in")
        await self.log_in()
        kept = browser.cookie
        self.assertEqual((await browser.post("/logout")).header("location"), "/login")
        self.assertEqual(browser.cookie, "")
        browser.cookie = kept
        self.assertEqual((await browser.get()).title, "Log in")

    async def test_a_session_goes_on_after_a_restart(self) -> None:
        """It is in the database, by its hash alone."""
        browser = await self.log_in()
        secret = browser.cookie.partition("=")[2]
        await self.database.close()
        self.assertNotIn(secret.encode(), self.file.read_bytes())
        await self.database.open()
        self.assertEqual((await browser.get()).title, "Images")

    async def test_making_a_link_is_in_the_audit(self) -> None:
        """Who let whom in can be found out."""
        self.assertTrue(BY_NAME["web-login", ""].changes)


class FormTests(PageCase):
    async def test_a_form_of_another_site_is_refused(self) -> None:
        """By what the browser says of where it was; nothing is done."""
        browser = await self.log_in()
        for said in (
            {"sec_fetch_site": "cross-site"},
            {"sec_fetch_site": "same-site"},
            {"sec_fetch_site": "", "origin": "http://evil.example"},
            {"sec_fetch_site": "", "origin": "null"},
        ):
            refused = await browser.post("/automatic", {"to": "false"}, **said)
            self.assertEqual(refused.status, 403, said)
            self.assertIn("web-origin", refused.text)
        (setting,) = [
            row["value"]
            for row in await self.ask("config list")
            if row["name"] == "boot_images_auto_import"
        ]
        self.assertTrue(setting)

    async def test_an_old_browser_may_say_nothing_or_its_origin(self) -> None:
        """Over plain HTTP browsers send no Sec-Fetch-Site."""
        browser = await self.log_in()
        for origin in ("", self.url):
            answered = await browser.post(
                "/automatic", {"to": "false"}, sec_fetch_site="", origin=origin
            )
            self.assertEqual(answered.status, 303)

    async def test_a_form_without_its_sessions_token_is_refused(self) -> None:
        """None, another's, or anything else."""
        browser = await self.log_in()
        other = await self.log_in(Browser(self.url))
        for token in ("", "ü", (await other.get()).form_token):
            refused = await browser.post("/automatic", {"to": "false", "token": token})
            self.assertEqual(refused.status, 403)
            self.assertIn("web-form", refused.text)

    async def test_nobody_changes_anything_without_a_login(self) -> None:
        """Every form of the page says so."""
        for path in (
            "/import",
            "/stop",
            "/automatic",
            "/source",
            "/selection",
            "/delete",
            "/logout",
        ):
            refused = await self.browser.post(path)
            self.assertEqual(refused.status, 403, path)
            self.assertIn("web-session", refused.text)
        self.assertEqual((await self.browser.get("/live?page=Images")).status, 403)

    async def test_what_is_no_form_of_ours_is_refused(self) -> None:
        """Too long, of another type, or not text at all."""
        browser = await self.log_in()
        for body, kind in (
            (b"a=" + b"x" * (300 * 1024), "application/x-www-form-urlencoded"),
            (b"a=b", "text/plain"),
            (b"a=\xff", "application/x-www-form-urlencoded"),
        ):
            refused = await browser.ask("POST", "/import", body, content_type=kind)
            self.assertEqual(refused.status, 400)
            self.assertIn("not a form of this page", refused.text)
        self.assertFalse(self.imports.is_importing)

    async def test_a_wrong_address_is_a_page_with_the_way_back(self) -> None:
        """For whoever mistyped one, logged in or not; it is guarded as every page is."""
        for path in ("/image", "/index.html", "/favicon.ico", "//racks"):
            answered = await self.browser.get(path)
            self.assertEqual((answered.status, answered.title), (404, "Refused"), path)
            self.assertIn('<a href="/login">Back</a>', answered.text)

    async def test_other_methods_and_pages_are_refused(self) -> None:
        """With a page that says so."""
        browser = await self.log_in()
        self.assertEqual((await browser.ask("PUT", "/")).status, 403)
        self.assertEqual((await browser.get("/racks/7")).status, 404)
        self.assertEqual((await browser.get("/live?page=Secrets")).status, 404)
        self.assertEqual((await browser.get("/delete?id=7")).status, 404)
        self.assertEqual((await browser.post("/racks")).status, 404)


class HeaderTests(PageCase):
    async def test_every_answer_to_people_is_guarded(self) -> None:
        """Pages, refusals, files and redirects alike."""
        browser = await self.log_in()
        for path in ("/", "/racks", "/events", "/login", "/nothing", "/static/rackferry.js"):
            answered = await browser.get(path)
            for name in set(HEADERS) - {"Cache-Control"}:
                self.assertEqual(answered.header(name), HEADERS[name], (path, name))

    async def test_files_are_asked_for_again_cheaply(self) -> None:
        """By their ETag."""
        first = await self.browser.get("/static/rackferry.css")
        self.assertEqual(first.status, 200)
        again = await self.browser.ask(
            "GET", "/static/rackferry.css", if_none_match=first.header("etag")
        )
        self.assertEqual((again.status, again.text), (304, ""))
        self.assertEqual((await self.browser.get("/static/../guard.py")).status, 404)

    async def test_head_has_no_body(self) -> None:
        """And the same headers; of a stream, too, which does not go on for ever then."""
        await self.log_in()
        for path in ("/", "/live?page=Images"):
            answered = await self.browser.ask("HEAD", path)
            self.assertEqual((answered.status, answered.text), (200, ""))

    async def test_every_path_of_a_form_is_answered(self) -> None:
        """What a template sends somewhere arrives."""
        browser = await self.log_in()
        page = await browser.get()
        for path in ("import", "automatic", "source"):
            self.assertIn(f'action="/{path}"', page.text)
            self.assertIn(f"/{path}", PATHS)


class ReadOnlyTests(PageCase):
    more = {"web_read_only": True}

    async def test_everybody_may_look(self) -> None:
        """All pages, without a single form that changes something."""
        for path, title in (("/", "Images"), ("/racks", "Racks"), ("/events", "Events")):
            page = await self.browser.get(path)
            self.assertEqual((page.status, page.title), (200, title))
            self.assertNotIn('method="post"', page.text)
        self.assertEqual((await self.browser.get("/delete?id=1")).status, 404)

    async def test_changing_needs_a_login(self) -> None:
        """As without the setting."""
        self.assertEqual((await self.browser.post("/import")).status, 403)
        browser = await self.log_in()
        self.assertIn('action="/import"', (await browser.get()).text)


class BehindProxyTests(PageCase):
    more = {"web_url": "https://images.example"}

    async def test_the_cookie_goes_over_https_only(self) -> None:
        """With the prefix that ties it to the host; forms come from there."""
        secret, _ = await self.web_sessions.create_link("alice")
        answered = await self.browser.post(
            "/login", {"code": secret}, sec_fetch_site="", origin="https://images.example"
        )
        self.assertEqual(answered.status, 303)
        self.assertRegex(
            answered.header("set-cookie"), r"^__Host-rackferry=.*; SameSite=Strict; Secure$"
        )
        refused = await self.browser.post("/logout", sec_fetch_site="", origin=self.url)
        self.assertIn("web-origin", refused.text)
