"""URLs of a server of streams, except for the stream and ``health/liveness``, which ``realtime.asgi`` routes."""

from django.urls import include, path

from realtime.serving import health

urlpatterns = [
    *[path(name, health.readiness) for name in health.READINESS],
    path("", include("realtime.urls")),
]
