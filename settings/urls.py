"""Every path that the product answers over HTTP; the stream's own path is in settings/asgi.py."""

from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

handler404 = "core.errors.not_found"
handler500 = "core.errors.server_error"

urlpatterns = [
    path("api/v1/swagger.json", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/docs/", SpectacularSwaggerView.as_view(url_name="schema")),
    path("", include("realtime.urls")),
]
