"""What there is on the web port."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from common.health import Health
from common.sites import IDLE_TIMEOUT_S, QuietSite
from common.throttle import Throttle
from regiond.web.site import web_site


async def well() -> None:
    """A check that is content."""


class WebSiteTests(SynchronousTestCase):
    def setUp(self) -> None:
        clock = Clock()
        self.site = web_site(well, well, {}, clock, throttle=Throttle(lambda: None, clock))

    def test_health_and_readiness_are_there_and_nothing_else(self) -> None:
        """Every path that is answered is known here."""
        self.assertEqual(set(self.site.resource.listStaticNames()), {b"healthz", b"readyz"})
        self.assertIsInstance(self.site.resource.getStaticEntity(b"readyz"), Health)

    def test_idle_connections_are_closed(self) -> None:
        """Whoever connects and says nothing is dropped."""
        self.assertEqual(self.site.timeOut, IDLE_TIMEOUT_S)
        self.assertIsInstance(self.site, QuietSite)
