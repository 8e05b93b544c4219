"""Makes the ASGI application of a project with real-time updates.

In the project's ``asgi.py``: ``application = get_application(get_asgi_application())``.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import re_path

from realtime import runtime
from realtime.types import Application, Receive, Scope, Send, Start

if TYPE_CHECKING:
    from realtime.http.added_headers import AddedHeaders


# Where Flagsmith posts if its SSE_SERVER_BASE_URL ends with a slash, and where an SDK streams from with such a URL.
DOUBLE_SLASH = "//sse/"


async def nothing() -> None:
    """The default of ``start``."""


def get_application(
    django_application: Application,
    *,
    middleware: Callable[[Application], Application] | None = None,
    middleware_headers: "Callable[[Scope], AddedHeaders | None] | None" = None,
    start: Start = nothing,
    urlconf: str | None = None,
) -> Application:
    """The project's ASGI application with streams, ``queue-change``, ``/health/liveness`` and a graceful shutdown.

    ``django_application`` answers all other requests, and WebSockets if it supports them. Django must be set up, as
    ``get_asgi_application()`` does. ``middleware``: the project's ASGI middleware, for those requests and for
    ``queue-change``. ``middleware_headers``: the headers that the project adds to responses which do not pass through
    Django's middleware. ``start`` is called once, before the server accepts connections, or with
    the first request if the server does not run the lifespan protocol (daphne); what it starts has to be closed by
    ``realtime.runtime.current().on_close``. ``urlconf``: the URL configuration, if it is not ``ROOT_URLCONF``.
    """
    # Imported here, because they import models.
    from realtime.http import drain, shortcuts, streams
    from realtime.http.added_headers import plain
    from realtime.posted_versions import intake
    from realtime.serving import bodies, health
    from realtime.serving.lifespan import lifespan
    from realtime.urls import stream_urlpatterns

    shortcuts.add_get(b"/sse/environments/", streams.SDK.shortcut, any_endpoint=True)
    shortcuts.add_get(b"/ofrep/v1/streams/", streams.OFREP.shortcut, any_endpoint=True)
    shortcuts.add_post(b"/sse/environments/", intake.shortcut(middleware_headers or plain))
    requests = bodies.limited_posts(django_application)
    requests = drain.close_connections(
        health.with_liveness(middleware(requests) if middleware else requests, middleware_headers or plain)
    )
    router: Application = ProtocolTypeRouter(
        {
            "http": URLRouter([*stream_urlpatterns, re_path(r"", requests)]),  # type: ignore[arg-type]
            "lifespan": lifespan(start, urlconf),
            "websocket": django_application,
        }
    )

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await runtime.current().start(start)
            if scope["path"].startswith(DOUBLE_SLASH):
                scope = {**scope, "path": scope["path"][1:]}
        await router(scope, receive, send)

    return application
