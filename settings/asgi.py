"""The ASGI application: streams go straight to the hub, everything else to Django."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import re_path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.production")
django_application = get_asgi_application()

# They import models, so they come after Django is set up.
from features.workflows.core.thread import with_first_request, with_lifespan  # noqa: E402
from realtime.lifespan import lifespan  # noqa: E402
from realtime.urls import stream_urlpatterns  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": URLRouter([*stream_urlpatterns, re_path(r"", with_first_request(django_application))]),
        "lifespan": with_lifespan(lifespan),
    }
)
