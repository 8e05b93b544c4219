"""ASGI application of the relay: the SDK API, OFREP, streams, ``queue-change``, health and metrics."""

import django

django.setup(set_prefix=False)

# These import models, so Django has to be set up first.

from realtime import ofrep  # noqa: E402
from realtime.asgi import get_application  # noqa: E402
from realtime.http import shortcuts  # noqa: E402
from realtime.http.shortcuts import Answerer, DeferredResponse  # noqa: E402
from realtime.relay import api, configuration, gauges, health, relay  # noqa: E402, F401
from realtime.serving.bodies import without_bodies  # noqa: E402
from realtime.serving.handler import URLCONF, handler  # noqa: E402
from realtime.types import Scope  # noqa: E402

PREFIXES = (b"/api/v1/", b"/api/v2/")


def _read(scope: Scope) -> Answerer | None:
    current = relay.api()
    return current.shortcut(scope) if current is not None else None


def _post(scope: Scope, body: bytes, deferred: DeferredResponse) -> bool:
    current = relay.api()
    return current is not None and current.post(scope, body, deferred)


# Uvicorn logs requests that it passes on, so with an access log there are no shortcuts.
if not configuration.current().logging.enable_access_log:
    for prefix in PREFIXES:
        shortcuts.add_get(prefix, _read, any_endpoint=True)
        shortcuts.add_post(prefix, _post)
    shortcuts.add_post(ofrep.PREFIX.encode(), _post)

application = get_application(
    without_bodies(handler()),
    middleware=lambda requests: health.with_health(api.with_api(relay.api, requests)),
    start=relay.start,
    urlconf=URLCONF,
)
