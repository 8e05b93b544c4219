"""The stock project's URLs: a stream per channel, and an endpoint that sends an event to a channel."""

import json
import os

from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.peers.stock_settings")
application = get_asgi_application()

import django_eventstream.urls  # noqa: E402
from django.urls import include, path  # noqa: E402
from django_eventstream import send_event  # noqa: E402


def publish(request: HttpRequest, channel: str) -> JsonResponse:
    """Send the body as an event's data."""
    send_event(channel, "environment_updated", json.loads(request.body))
    return JsonResponse({})


urlpatterns = [
    path("stream/<channel>", include(django_eventstream.urls), {"format-channels": ["{channel}"]}),
    path("publish/<channel>", publish),
]
