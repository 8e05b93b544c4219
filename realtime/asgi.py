"""Makes the ASGI application of a project with real-time updates.

In the project's ``asgi.py``: ``application = get_application(get_asgi_application())``.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import re_path

from realtime.types import Application, Scope

if TYPE_CHECKING:
    from realtime.external.intake import Surroundings


def get_application(
    django_application: Application,
    *,
    middleware: Callable[[Application], Application] | None = None,
    surroundings: "Callable[[Scope], Surroundings | None] | None" = None,
    lifespan: Application | None = None,
) -> Application:
    """The project's ASGI application with streams, ``queue-change``, ``/health/liveness`` and a graceful shutdown.

    ``django_application`` answers all other requests, and WebSockets if it supports them. Django must be set up, as
    ``get_asgi_application()`` does. ``middleware``: the project's ASGI middleware, for those requests and for
    ``queue-change``. ``surroundings``: the headers that the project adds to responses which do not pass through
    Django's middleware. ``lifespan``: the application of the lifespan scope, in place of
    ``realtime.serving.lifespan.lifespan()``, which it has to call.
    """
    # Imported here, because they import models.
    from realtime.external.intake import Intake, plain
    from realtime.http import drain, shortcuts, streams
    from realtime.serving import health
    from realtime.serving.lifespan import lifespan as own_lifespan
    from realtime.urls import stream_urlpatterns

    intake = Intake(surroundings or plain)
    shortcuts.add(b"/sse/environments/", streams.shortcut, everywhere=True)
    shortcuts.add_call(b"/sse/environments/", intake.shortcut)
    requests = intake.ahead_of(django_application)
    requests = drain.closing(health.ahead_of(middleware(requests) if middleware else requests, surroundings or plain))
    application: Application = ProtocolTypeRouter(
        {
            "http": URLRouter([*stream_urlpatterns, re_path(r"", requests)]),  # type: ignore[arg-type]
            "lifespan": lifespan or own_lifespan(),
            "websocket": django_application,
        }
    )
    return application
