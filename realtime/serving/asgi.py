"""The ASGI application of a server that has streams and ``queue-change`` to serve, and Django for little else.

Django's settings are those of ``DJANGO_SETTINGS_MODULE``, but for what is about the project's own pages: this serves
none of them.
"""

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.urls import re_path

settings.ROOT_URLCONF = "realtime.serving.urls"
settings.MIDDLEWARE = ["django.middleware.security.SecurityMiddleware"]
django_application = get_asgi_application()

# They import models, so they come after Django is set up.
from realtime.external.intake import Intake  # noqa: E402
from realtime.http import drain, shortcuts, streams  # noqa: E402
from realtime.serving import health  # noqa: E402
from realtime.serving.bodies import without_bodies  # noqa: E402
from realtime.serving.lifespan import lifespan  # noqa: E402
from realtime.urls import stream_urlpatterns  # noqa: E402

intake = Intake()

shortcuts.add(b"/sse/environments/", streams.shortcut, everywhere=True)
shortcuts.add_call(b"/sse/environments/", intake.shortcut)

http_application = drain.closing(health.ahead_of(intake.ahead_of(without_bodies(django_application))))

application = ProtocolTypeRouter(
    {
        "http": URLRouter([*stream_urlpatterns, re_path(r"", http_application)]),  # type: ignore[arg-type]
        "lifespan": lifespan,
    }
)
