"""``/healthz`` and ``/readyz``: is the process alive, and may traffic come?

``/healthz`` answers 200 while the reactor turns and the database answers; ``/readyz``
answers 200 once everything is bound and recovered, and until shutdown begins. Anything
else is a 503 whose JSON body names the reason.
"""

import json
from collections.abc import Awaitable, Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from common.errors import RackferryError

Check = Callable[[], Awaitable[None]]

HEALTH_TIMEOUT_S = 10.0


class Health(Resource):
    """Answers with the outcome of ``check``: it returns, or raises with the reason."""

    isLeaf = True
    log = Logger()

    def __init__(self, check: Check, clock: IReactorTime) -> None:
        super().__init__()
        self._check = check
        self._clock = clock

    def render_GET(self, request: Request) -> int:
        """Run the check and answer when it is done; HEAD comes by itself."""
        answering = Deferred.fromCoroutine(self._answer(request))
        request.notifyFinish().addErrback(lambda _: answering.cancel())
        answering.addErrback(self._gone)
        return NOT_DONE_YET

    def _gone(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.log.failure("the health check broke", failure)

    async def _answer(self, request: Request) -> None:
        async def checking() -> None:
            await self._check()

        try:
            await Deferred.fromCoroutine(checking()).addTimeout(HEALTH_TIMEOUT_S, self._clock)
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong is the answer
            self.log.warn("not healthy: {error}", error=error)
            # What a library says may hold more than strangers are to know: the log has it.
            reason = error.line() if isinstance(error, RackferryError) else type(error).__name__
            status, body = 503, {"ok": False, "reason": reason}
        else:
            status, body = 200, {"ok": True}
        request.setResponseCode(status)
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"no-store")
        request.write(json.dumps(body).encode() + b"\n")
        request.finish()
