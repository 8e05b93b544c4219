"""URL patterns of the app: Django's, and those of the streams, which are ASGI applications outside of Django."""

from django.urls import path, re_path

from realtime.http import streams
from realtime.monitoring.scraping import scrape
from realtime.posted_versions import queue_change

urlpatterns = [
    path("sse/environments/<str:key>/queue-change", queue_change.view, name="queue-change"),
    path("metrics", scrape, name="metrics"),
]

# For channels' URLRouter.
stream_urlpatterns = [
    re_path(rf"^{endpoint.path.pattern}$", endpoint.application)  # type: ignore[arg-type]
    for endpoint in (streams.SDK, streams.OFREP)
]
