"""The ASGI lifespan: a server that speaks it (uvicorn) starts the hub before the first client comes."""

import gc
import sys

from django.urls import get_resolver

from realtime.delivery import hub
from realtime.external import intake
from realtime.http import drain
from realtime.monitoring import shared_counters
from realtime.monitoring.watchdog import Watchdog
from realtime.types import Application, Receive, Scope, Send

# A thread that computes gives the interpreter's lock up after so long, if the event loop waits for it. A read takes the
# lock half a dozen times, and Python's own 5 ms are what it then waits for each time.
SWITCH_SECONDS = 0.0005


def lifespan(urlconf: str | None = None) -> Application:
    """The ASGI application of the ``lifespan`` scope. Servers without it (daphne) start the hub with a stream.

    ``urlconf``: the module of the server's paths, if it is not the project's ``ROOT_URLCONF``.
    """

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        shared_counters.share()
        pulse = hub.current().pulse
        drain.prepare()
        # That holds the loop up for seconds on a busy machine, before there is anybody to serve: the watchdog comes
        # later.
        _settle(urlconf)
        watchdog = Watchdog(pulse)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await intake.close()
        watchdog.stop()
        await hub.current().close()
        await send({"type": "lifespan.shutdown.complete"})

    return application


def _settle(urlconf: str | None) -> None:
    """Import what the first request would, and take all that is there by now out of the garbage collector's rounds.

    A full round over an imported Django project takes 65 ms (135,000 objects, measured), in which no stream is served.
    """
    _ = get_resolver(urlconf).url_patterns
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_SECONDS)
