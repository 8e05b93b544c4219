"""The ASGI application: streams go straight to the hub, everything else to Django."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import re_path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.production")
django_application = get_asgi_application()

# They import models, so they come after Django is set up.
from app_analytics.meter import meter  # noqa: E402
from core import health  # noqa: E402
from core.bodies import limited_bodies  # noqa: E402
from core.surroundings import surroundings  # noqa: E402
from core.threads import with_first_request, with_lifespan  # noqa: E402
from features.workflows.core.scheduler import scheduler_thread  # noqa: E402
from realtime.external.intake import Intake  # noqa: E402
from realtime.http import drain, shortcuts, streams  # noqa: E402
from realtime.serving.lifespan import lifespan  # noqa: E402
from realtime.urls import stream_urlpatterns  # noqa: E402
from sdk import read_path  # noqa: E402
from webhooks.deliverer import deliverer_thread  # noqa: E402

intake = Intake(surroundings)

shortcuts.add(b"/sse/environments/", streams.shortcut, everywhere=True)
shortcuts.add(b"/api/v1/", read_path.shortcut)
shortcuts.add_call(b"/sse/environments/", intake.shortcut)

threads = (scheduler_thread, deliverer_thread, meter.thread)

http_application = with_first_request(
    drain.closing(health.ahead_of(read_path.read_path(limited_bodies(intake.ahead_of(django_application))))), *threads
)

application = ProtocolTypeRouter(
    {
        "http": URLRouter([*stream_urlpatterns, re_path(r"", http_application)]),
        "lifespan": with_lifespan(lifespan, *threads),
    }
)
