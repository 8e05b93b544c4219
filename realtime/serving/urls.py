"""Every path that such a server answers; the stream's own path is in asgi.py, and so is ``health/liveness``."""

from django.urls import include, path

from realtime.serving import health

urlpatterns = [
    *[path(name, health.readiness) for name in health.READINESS],
    path("", include("realtime.urls")),
]
