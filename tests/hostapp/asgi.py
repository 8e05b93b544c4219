import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import re_path

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.hostapp.settings"
django_application = get_asgi_application()

from realtime.external.intake import Intake  # noqa: E402
from realtime.serving.lifespan import lifespan  # noqa: E402
from realtime.urls import stream_urlpatterns  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": URLRouter([*stream_urlpatterns, re_path(r"", Intake().ahead_of(django_application))]),
        "lifespan": lifespan,
    }
)
