"""Who answers at which port of a region."""

from typing import Any

import attrs
from twisted.internet.interfaces import IProtocolFactory

from common.answering import Answers
from common.asking import AdminSocket
from common.bulk_tls import BulkTLSFactory
from common.health import Check
from common.metrics_page import MetricsPage
from common.peers import Peers
from common.pools import shared
from common.release import release
from common.tls import ServerTLS
from common.vocabulary import Place
from regiond.admin.answers import RegionAnswers
from regiond.admin.bundles import BundleAnswers, blob_door
from regiond.admin.custom_images import CustomImageAnswers
from regiond.admin.daemon import DaemonAnswers
from regiond.admin.images import ImageAnswers
from regiond.admin.racks import RackAnswers
from regiond.admin.settings import SettingAnswers
from regiond.admin.sources import SourceAnswers
from regiond.admin.uploads import UploadDoor
from regiond.admin.web import WebAnswers
from regiond.parts import Ground, Importing, UseCases
from regiond.racks.enrolment import Enrolment
from regiond.racks.images import ImagesSite
from regiond.racks.sessions import Sessions
from regiond.web.site import web_site
from regiond.web.wiring import Web, make_web
from regiond.whereabouts import Whereabouts


class Doors:
    """Everything that listens.

    Args:
        ground, importing, cases: the floors below.
        whereabouts: what the region says of its ports.
        alive, ready: for ``/healthz`` and ``/readyz``.

    Attributes:
        sessions: of the racks that are connected.
        live: keeps pages that are open up to date.
        factories: who answers, by the port's key in ``[listen]``.
    """

    def __init__(
        self,
        ground: Ground,
        importing: Importing,
        cases: UseCases,
        whereabouts: Whereabouts,
        *,
        alive: Check,
        ready: Check,
    ) -> None:
        self._ground = ground
        self._importing = importing
        self._cases = cases
        clock, racks = ground.reactor, ground.limits.racks
        self.sessions = Sessions(
            cases.fleet,
            lambda: [whereabouts.endpoint()],
            ground.config.name,
            release(),
            clock,
            throttle=racks,
        )
        answers = Answers(self._answers(whereabouts).answer, cases.region.note)
        web = self._web(answers)
        self.live = web.live
        trees = {
            "mirror": cases.mirror.find,
            "images-stream": cases.own_stream.find,
            "keyring.gpg": cases.own_stream.keyring,
        }
        pages = {**web.children, "metrics": MetricsPage(cases.metrics.text)}
        certificate = ground.certificate
        self.factories: dict[str, IProtocolFactory] = {
            "enrol": self._over(certificate.for_strangers, Enrolment(cases.fleet, clock)),
            "rpc": self._over(certificate.for_racks, self.sessions),
            "images": self._over(certificate.for_racks, ImagesSite(cases.fleet, clock, racks)),
            "web": web_site(alive, ready, trees, clock, pages, throttle=racks),
            "admin": AdminSocket(
                Place.REGION,
                answers.answer,
                clock,
                lambda: {
                    **UploadDoor(cases.uploads).table,
                    **blob_door(cases.exports, clock),
                },
                # Not one of our own threads: GnuPG may be at work there for long.
                peers=Peers(shared(clock)),
            ),
        }

    def _over(self, tls: ServerTLS, factory: IProtocolFactory) -> IProtocolFactory:
        return BulkTLSFactory(tls, False, factory, self._ground.reactor)

    def _answers(self, whereabouts: Whereabouts) -> RegionAnswers:
        cases, importing, clock = self._cases, self._importing, self._ground.reactor
        return RegionAnswers(
            SourceAnswers(cases.boot_sources, cases.selections),
            ImageAnswers(cases.region, cases.pinning, importing.imports, importing.importer, clock),
            BundleAnswers(cases.exports, cases.bundles, importing.importer, cases.region, clock),
            RackAnswers(cases.fleet, cases.canaries, self.sessions, whereabouts.row),
            CustomImageAnswers(cases.custom_images),
            SettingAnswers(self._ground.settings),
            DaemonAnswers(
                cases.region,
                cases.boot_sources,
                cases.fleet,
                cases.canaries,
                cases.import_status,
                scrub=importing.scrub,
                identity=whereabouts.row,
                clock=clock,
            ),
            WebAnswers(cases.web_sessions, whereabouts.web_address),
        )

    def _web(self, answers: Answers[Any]) -> Web:
        cases, imports = self._cases, self._importing.imports
        importer = self._importing.importer
        return make_web(
            self._ground.config,
            lambda question: answers.answer(question, lambda _: None),
            region=cases.region,
            imports=cases.import_status,
            boot_sources=cases.boot_sources,
            selections=cases.selections,
            fleet=cases.fleet,
            sessions=cases.web_sessions,
            pulse=lambda: (
                imports.is_importing,
                imports.is_parked,
                attrs.astuple(importer.progress),
                cases.fleet.stirs,
            ),
            clock=self._ground.reactor,
        )
