"""The way to a boot source, over real connections: proxies, certificates, redirects."""

import base64
import gc
import os
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from common.errors import RackferryError
from common.fetching import Limits
from common.identity import certificate_pem
from common.tls import ServerTLS
from regiond.routes import Routes
from regiond.sources import retrieval
from regiond.sources.retrieval import Limits as DocumentLimits
from regiond.store import leases
from regiond.store.sources import BootSource
from tests.doubles.answering import AnswerCase
from tests.doubles.gpg_keys import public_keys
from tests.doubles.importing import FIRST, JAMMY, KEYS, NOBLE, path_of
from tests.doubles.proxy import WebProxy
from tests.doubles.stream_documents import INDEX_PATH
from tests.doubles.stream_source import Fault, StreamSource
from tests.doubles.streams import inline
from tests.doubles.trust import AUTHORITY, NOW, OTHER_AUTHORITY, SERVER

SECRET = "geheim-Wort.7"
ROOT = path_of("jammy", "squashfs")
PATIENT = Limits(connect_timeout_s=10.0, max_attempts=1)
HASTY = attrs.evolve(PATIENT, stall_timeout_s=0.5, min_rate=1, head_timeout_s=0.5)
ENVIRONMENT = dict.fromkeys(
    ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"), "http://127.0.0.1:9"
)


class RouteCase(AnswerCase):
    """A region whose source can be reached by http and https, and a proxy."""

    limits = PATIENT

    async def setUp(self) -> None:
        await super().setUp()
        self.proxy = WebProxy()
        self.proxy_url = self.proxy.listen(reactor)
        self.addCleanup(self.proxy.stop)
        self.publish(self.product("jammy"))
        await self.select(JAMMY)

    def by_https(self, identity: Any = SERVER) -> StreamSource:
        """A source with the same files, by https."""
        source = StreamSource()
        source.files = self.source.files
        tls = ServerTLS(identity, asks_certificate=False)
        self.urls[source] = source.listen(reactor, tls=tls)
        self.addCleanup(source.stop)
        return source

    def ca_file(self, *certificates: Any) -> str:
        path = self.directory / "ca.pem"
        path.write_bytes(b"".join(map(certificate_pem, certificates)))
        return str(path)

    async def update(self, **given: Any) -> dict[str, Any]:
        return await self.ask("boot-source update", 1, **given)

    def spoil(self, fault: str, only: str = "") -> None:
        """Let the proxy do this, and have no patience just where it says nothing."""
        self.proxy.fault, self.proxy.only = fault, only
        is_silent = fault in {"silent", "endless"}
        hasty = DocumentLimits(head_timeout_s=0.5, stall_timeout_s=0.5)
        self.patch(
            retrieval, "Limits", lambda: hasty if is_silent and not only else DocumentLimits()
        )
        self.be(HASTY if is_silent else PATIENT)

    async def check_fails(self, code: str) -> RackferryError:
        """``check`` and an import say the same, by name; and the lease is free again."""
        error = await self.refused(code, "boot-source check", 1)
        self.assertEqual(error.object, "boot-source 1")
        self.assertTrue(error.remedy)
        self.assertNotIn(SECRET, error.line())
        result = await self.run_import()
        self.assertEqual(result.failed["boot-source 1"].code, code)
        await self.lease_is_free()
        return error

    async def lease_is_free(self) -> None:
        epoch = await self.database.write(leases.acquire, "import", "a test", self.time, 15.0)
        self.assertIsNotNone(epoch)
        await self.database.write(leases.release, "import", epoch)


class ForgettingTests(SynchronousTestCase):
    """What is known of a source that is gone."""

    def test_passwords_go_with_their_source(self) -> None:
        """Its own when nobody reads it any more, its proxy's when no other source has that."""
        routes = Routes(reactor, inline, connect_timeout_s=1.0, most_per_host=2)
        nothing = {each.name: None for each in attrs.fields(BootSource)}
        here, gone = (
            BootSource(
                **nothing
                | {"id": number, "url": "http://h/", "password": SECRET, "username": "u"}
                | {"proxy": f"http://u:{SECRET}@proxy{number}:1"}
            )
            for number in (1, 2)
        )
        for source in (here, gone):
            self.successResultOf(Deferred.fromCoroutine(routes.to(source)))
        self.assertEqual((len(routes._ways), len(routes._agents)), (2, 2))
        routes.heed_sources([here])
        del source, gone
        gc.collect()
        self.assertEqual((len(routes._ways), len(routes._agents)), (1, 1))
        self.assertEqual([proxy.host for proxy, _ in routes._agents if proxy], ["proxy1"])


class ProxyTests(RouteCase):
    async def test_everything_goes_through_it_as_it_is(self) -> None:
        """Documents and files by http: absolute URLs, one connection after the other."""
        await self.update(proxy=self.proxy_url)
        await self.succeed()
        base = self.urls[self.source]
        self.assertEqual(
            set(self.proxy.targets), {f"GET {base}{path}" for path in self.source.requests}
        )
        self.assertIn(f"GET {base}{ROOT}", self.proxy.targets)
        self.assertLess(self.proxy.opened, len(self.proxy.heads))
        self.assertEqual(await self.versions(), {"jammy": FIRST})

    async def test_https_goes_through_a_tunnel(self) -> None:
        """The proxy sees the host and no more; the certificate is the source's own."""
        secure = self.by_https()
        await self.update(
            url=self.urls[secure], proxy=self.proxy_url, ca_file=self.ca_file(AUTHORITY.certificate)
        )
        await self.succeed()
        self.assertEqual(set(self.proxy.targets), {f"CONNECT 127.0.0.1:{secure.port}"})
        self.assertIn(ROOT, secure.requests)

    async def test_a_tunnel_is_no_reason_to_believe_anybody(self) -> None:
        """Another authority's certificate is refused behind a proxy, too."""
        secure = self.by_https()
        given = {"ca_file": self.ca_file(OTHER_AUTHORITY.certificate), "proxy": self.proxy_url}
        await self.update(url=self.urls[secure], **given)
        error = await self.check_fails("source-certificate")
        self.assertIn(self.proxy_url, error.message)

    async def test_its_password_goes_to_it_alone(self) -> None:
        """As Proxy-Authorization, for both ways; and the source's goes to the source alone."""
        self.proxy.authorization = "Basic " + base64.b64encode(f"u:{SECRET}".encode()).decode()
        with_password = self.proxy_url.replace("http://", f"http://u:{SECRET}@")
        row = await self.update(proxy=with_password, username="me", password="mine")
        self.assertEqual(row["proxy"], self.proxy_url)
        await self.succeed()
        for path, headers in self.source.headers.items():
            self.assertNotIn("proxy-authorization", headers, path)
            self.assertTrue(headers["authorization"].startswith("Basic "))
        secure = self.by_https()
        await self.update(url=self.urls[secure], ca_file=self.ca_file(AUTHORITY.certificate))
        self.proxy.heads.clear()
        await self.ask("boot-source check", 1)
        for head in self.proxy.heads:
            self.assertNotIn("\nAuthorization", head)
        self.assertNotIn("proxy-authorization", secure.headers[INDEX_PATH])
        for words, *ids in (("boot-sources read",), ("boot-source read", 1), ("status",)):
            self.assertNotIn(SECRET, str(await self.ask(words, *ids)))

    async def test_a_proxy_that_asks_for_a_password(self) -> None:
        """By http and by https: it says so, and says what to give."""
        self.proxy.authorization = "Basic eDp5"
        for given in (
            {"proxy": self.proxy_url},
            {"proxy": self.proxy_url.replace("http://", f"http://u:{SECRET}@")},
            {"url": self.urls[self.by_https()], "ca_file": self.ca_file(AUTHORITY.certificate)},
        ):
            await self.update(**given)
            error = await self.check_fails("source-proxy-auth")
            self.assertIn(self.proxy_url, error.message)
            self.assertIn("proxy=", error.remedy)

    async def test_a_proxy_that_is_not_there(self) -> None:
        """Connection refused is told of the proxy, not of the source."""
        await self.proxy.stop()
        for url in (self.urls[self.source], self.urls[self.by_https()]):
            await self.update(url=url, proxy=self.proxy_url)
            error = await self.check_fails("source-proxy")
            self.assertIn(f"the proxy {self.proxy_url} could not be reached", error.message)

    async def test_what_a_proxy_can_do_wrong_by_http(self) -> None:
        """Each is one typed error that names the proxy, in bounded time."""
        await self.update(proxy=self.proxy_url)
        for fault, code in (
            ("page", "signature-missing"),
            ("close", "source-cut"),
            ("silent", "source-stalled"),
            ("endless", "source-stalled"),
            ("garbage", "source-cut"),
            ("502 Bad Gateway", "source-http-502"),
            ("407 Proxy Authentication Required", "source-proxy-auth"),
        ):
            self.spoil(fault)
            error = await self.check_fails(code)
            self.assertIn(self.proxy_url, error.message, fault)

    async def test_what_a_proxy_can_do_wrong_with_a_tunnel(self) -> None:
        """A page instead of a tunnel, at once or later, is not taken for the source."""
        await self.update(
            url=self.urls[self.by_https()],
            proxy=self.proxy_url,
            ca_file=self.ca_file(AUTHORITY.certificate),
        )
        for fault, code in (
            ("page", "source-proxy"),
            ("late page", "source-proxy"),
            ("close", "source-proxy"),
            ("silent", "source-stalled"),
            ("endless", "source-proxy"),
            ("garbage", "source-proxy"),
            ("403 Forbidden", "source-proxy"),
            ("502 Bad Gateway", "source-proxy"),
            ("407 Proxy Authentication Required", "source-proxy-auth"),
        ):
            self.spoil(fault)
            error = await self.check_fails(code)
            self.assertIn(self.proxy_url, error.message, fault)
            self.assertEqual(len(error.message), len(error.message.strip()))

    async def test_what_is_given_up_is_closed(self) -> None:
        """A tunnel that never opens leaves no connection behind."""
        await self.update(url=self.urls[self.by_https()], proxy=self.proxy_url)
        self.spoil("silent")
        await self.check_fails("source-stalled")
        await self.until(lambda: not self.proxy.connections)

    async def test_a_file_that_fails_names_the_proxy(self) -> None:
        """The documents came, then the proxy turned bad: the image says through which."""
        await self.update(proxy=self.proxy_url)
        for fault, code in (
            ("page", "transfer-length"),
            ("close", "transfer-cut"),
            ("silent", "transfer-stalled"),
            ("407 Proxy Authentication Required", "source-proxy-auth"),
        ):
            self.spoil(fault, only="squashfs")
            result = await self.run_import()
            self.assertEqual({name: e.code for name, e in result.failed.items()},
                             {KEYS["jammy"]: code})  # fmt: skip
            self.assertIn(self.proxy_url, result.failed[KEYS["jammy"]].line())

    async def test_a_proxy_is_one_sources_own(self) -> None:
        """The other source is asked directly; no environment has a say, nor is it changed."""
        self.patch(os, "environ", {**os.environ, **ENVIRONMENT})
        before = dict(os.environ)
        other = self.new_source()
        self.publish(self.product("noble", source=other), source=other)
        await self.select(NOBLE, source_id=await self.add_source(other))
        await self.update(proxy=self.proxy_url)
        await self.succeed()
        self.assertEqual(os.environ, before)
        self.assertFalse([each for each in self.proxy.targets if self.urls[other] in each])
        self.assertEqual(await self.versions(), {"jammy": FIRST, "noble": FIRST})

    async def test_without_it_again(self) -> None:
        """An empty value clears; no connection of the proxy is used any more."""
        await self.update(proxy=self.proxy_url)
        await self.ask("boot-source check", 1)
        row = await self.update(proxy="")
        self.assertIsNone(row["proxy"])
        await self.proxy.stop()
        await self.succeed()

    async def test_what_is_no_proxy_is_refused(self) -> None:
        """The text is not repeated, for it may hold a password."""
        for text in (f"https://u:{SECRET}@h:1", f"u:{SECRET}@h:1", "socks5://h:1"):
            error = await self.refused("source-proxy-url", "boot-source update", 1, proxy=text)
            self.assertNotIn(SECRET, error.line())


class ProxiedRedirectTests(RouteCase):
    """Redirects, where the proxy resolves the names: so another host can be had in a test."""

    async def test_another_host_is_followed_without_credentials(self) -> None:
        """A public name is asked through the proxy, and is not told who asks."""
        mirror = self.new_source()
        mirror.files = dict(self.source.files)
        self.proxy.hosts["mirror.example"] = mirror.port
        await self.update(proxy=self.proxy_url, username="me", password=SECRET)
        for path in list(self.source.files):
            self.source.faults[path] = Fault(location=f"http://mirror.example/{path}")
        await self.succeed()
        self.assertIn(ROOT, mirror.requests)
        for path, headers in mirror.headers.items():
            self.assertNotIn("authorization", headers, path)
            self.assertIn("authorization", self.source.headers[path])

    async def test_what_is_private_by_name_is_not_asked_for(self) -> None:
        """Neither an address nor a local name, for documents and for files."""
        await self.update(proxy=self.proxy_url)
        for host in ("10.0.0.1", "localhost", "intranet", "0x7f000001", "db.internal"):
            self.source.faults[INDEX_PATH] = Fault(location=f"http://{host}/{INDEX_PATH}")
            error = await self.check_fails("source-redirect-private")
            self.assertIn(host, error.message)
        self.assertFalse([each for each in self.proxy.targets if "intranet" in each])


class FileRedirectTests(RouteCase):
    """Redirects of files, without a proxy: the image fails by a code that says why."""

    async def test_each_kind_of_refusal_has_its_code(self) -> None:
        """A loop, a private host, a worse scheme, no address."""
        for location, code in (
            (f"/{ROOT}", "source-redirect-loop"),
            ("http://localhost:9/x", "source-redirect-private"),
            ("ftp://127.0.0.1/x", "source-redirect-scheme"),
            ("http://[", "source-redirect"),
        ):
            self.source.faults[ROOT] = Fault(location=location)
            result = await self.run_import()
            self.assertEqual({name: e.code for name, e in result.failed.items()},
                             {KEYS["jammy"]: code})  # fmt: skip

    async def test_https_never_leads_to_http(self) -> None:
        """A worse scheme on the very same host is refused, for documents and files."""
        secure = self.by_https()
        await self.update(url=self.urls[secure], ca_file=self.ca_file(AUTHORITY.certificate))
        plain = self.urls[self.source]
        secure.faults[ROOT] = Fault(location=f"{plain}{ROOT}")
        result = await self.run_import()
        self.assertEqual(result.failed[KEYS["jammy"]].code, "source-redirect-scheme")
        secure.faults[INDEX_PATH] = Fault(location=f"{plain}{INDEX_PATH}")
        await self.check_fails("source-redirect-scheme")


class CertificateTests(RouteCase):
    async def test_its_cas_are_trusted_instead_of_the_systems(self) -> None:
        """With the right file it works; several certificates in it are fine."""
        files = self.ca_file(OTHER_AUTHORITY.certificate, AUTHORITY.certificate)
        row = await self.update(url=self.urls[self.by_https()], ca_file=files)
        self.assertEqual((row["ca_file"], row.get("warning")), (files, None))
        await self.succeed()

    async def test_the_systems_do_not_know_it(self) -> None:
        """Without a file, a certificate of one's own authority is refused."""
        await self.update(url=self.urls[self.by_https()])
        await self.check_fails("source-certificate")

    async def test_another_ca_is_named(self) -> None:
        """The message says which file was believed."""
        path = self.ca_file(OTHER_AUTHORITY.certificate)
        await self.update(url=self.urls[self.by_https()], ca_file=path)
        error = await self.check_fails("source-certificate")
        self.assertIn(f"trusting {path} only", error.message)

    async def test_another_name_in_the_certificate_is_said(self) -> None:
        """Signed by the right authority, for somebody else."""
        stranger = AUTHORITY.issue_server(["elsewhere.example"], NOW)
        await self.update(
            url=self.urls[self.by_https(stranger)], ca_file=self.ca_file(AUTHORITY.certificate)
        )
        error = await self.check_fails("source-certificate")
        self.assertIn("another name", error.message)

    async def test_another_file_means_other_connections(self) -> None:
        """What is open already was checked by the old file: it is not used for the new one."""
        url = self.urls[self.by_https()]
        await self.update(url=url, ca_file=self.ca_file(AUTHORITY.certificate))
        await self.ask("boot-source check", 1)
        self.ca_file(OTHER_AUTHORITY.certificate)
        await self.check_fails("source-certificate")

    async def test_a_file_that_is_not_there_yet_is_a_warning(self) -> None:
        """It can still be put there; until then the source says what is missing."""
        url = self.urls[self.by_https()]
        row = await self.update(url=url, ca_file="/no/such/ca.pem")
        self.assertIn("/no/such/ca.pem", row["warning"])
        await self.check_fails("source-ca-missing")

    async def test_what_is_no_ca_file_is_refused_by_name(self) -> None:
        """Empty, garbage, a directory, a relative path; and when it became so later."""
        path = Path(self.ca_file(AUTHORITY.certificate))
        await self.update(url=self.urls[self.by_https()], ca_file=str(path))
        garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        for content in (b"", b"garbage", garbage, public_keys("rsa")):
            path.write_bytes(content)
            error = await self.refused("source-ca-unusable", "boot-source update", 1,
                                       ca_file=str(path))  # fmt: skip
            self.assertIn(str(path), error.message)
            await self.check_fails("source-ca-unusable")
        directory = str(self.directory)
        await self.refused("source-ca-unusable", "boot-source update", 1, ca_file=directory)
        await self.refused("wrong-value", "boot-source update", 1, ca_file="ca.pem")

    async def test_a_file_that_goes_between_documents_and_files_costs_the_image(self) -> None:
        """And nothing crashes."""
        path = Path(self.ca_file(AUTHORITY.certificate))
        secure = self.by_https()
        await self.update(url=self.urls[secure], ca_file=str(path))
        secure.on_request = lambda asked: path.unlink(missing_ok=True)
        result = await self.run_import()
        self.assertEqual([e.code for e in result.failed.values()], ["source-ca-missing"])
