"""Makes the ASGI application of a project with real-time updates.

In the project's ``asgi.py``: ``application = get_application(get_asgi_application())``.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import re_path

from realtime.types import Application, Scope

if TYPE_CHECKING:
    from realtime.http.added_headers import AddedHeaders


def get_application(
    django_application: Application,
    *,
    middleware: Callable[[Application], Application] | None = None,
    middleware_headers: "Callable[[Scope], AddedHeaders | None] | None" = None,
    lifespan: Application | None = None,
) -> Application:
    """The project's ASGI application with streams, ``queue-change``, ``/health/liveness`` and a graceful shutdown.

    ``django_application`` answers all other requests, and WebSockets if it supports them. Django must be set up, as
    ``get_asgi_application()`` does. ``middleware``: the project's ASGI middleware, for those requests and for
    ``queue-change``. ``middleware_headers``: the headers that the project adds to responses which do not pass through
    Django's middleware. ``lifespan``: the application of the lifespan scope, in place of
    ``realtime.serving.lifespan.lifespan()``, which it has to call.
    """
    # Imported here, because they import models.
    from realtime.http import drain, shortcuts, streams
    from realtime.http.added_headers import plain
    from realtime.posted_versions import intake
    from realtime.serving import bodies, health
    from realtime.serving.lifespan import lifespan as own_lifespan
    from realtime.urls import stream_urlpatterns

    shortcuts.add_get(b"/sse/environments/", streams.SDK.shortcut, any_endpoint=True)
    shortcuts.add_get(b"/ofrep/v1/streams/", streams.OFREP.shortcut, any_endpoint=True)
    shortcuts.add_post(b"/sse/environments/", intake.shortcut(middleware_headers or plain))
    requests = bodies.limited_posts(django_application)
    requests = drain.close_connections(
        health.with_liveness(middleware(requests) if middleware else requests, middleware_headers or plain)
    )
    application: Application = ProtocolTypeRouter(
        {
            "http": URLRouter([*stream_urlpatterns, re_path(r"", requests)]),  # type: ignore[arg-type]
            "lifespan": lifespan or own_lifespan(),
            "websocket": django_application,
        }
    )
    return application
