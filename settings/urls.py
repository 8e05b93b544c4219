"""All URLs of the product except for the stream's, which ``realtime.asgi`` routes."""

from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from core.version import version
from dashboard.files import static_file
from realtime.serving import health

handler400 = "core.errors.bad_request"
handler404 = "core.errors.not_found"
handler500 = "core.errors.server_error"

urlpatterns = [
    path("api/v1/swagger.json", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/docs/", SpectacularSwaggerView.as_view(url_name="schema")),
    path("api/v1/", include("users.urls")),
    path("api/v1/", include("organisations.urls")),
    path("api/v1/", include("projects.urls")),
    path("api/v1/", include("environments.urls")),
    path("api/v1/", include("environments.identities.urls")),
    path("api/v1/", include("environment_documents.urls")),
    path("api/v1/", include("sdk.urls")),
    path("ofrep/v1/", include("sdk.ofrep_urls")),
    path("api/v1/", include("features.urls")),
    path("api/v1/", include("features.import_export.urls")),
    path("api/v1/", include("features.multivariate.urls")),
    path("api/__future__/", include("features.environment_flags.urls")),
    path("api/v1/", include("features.workflows.core.urls")),
    path("api/v1/", include("segments.urls")),
    path("api/v1/", include("audit.urls")),
    path("api/v1/", include("diagnosis.urls")),
    path("api/v1/", include("webhooks.urls")),
    path("api/v1/", include("app_analytics.urls")),
    path("version", version),
    path("version/", version),
    path("health/liveness", health.liveness),
    path("health/liveness/", health.liveness),
    *[path(name, health.readiness) for name in health.READINESS],
    path("", include("realtime.urls")),
    path("static/<path:path>", static_file),
    path("", include("dashboard.urls")),
]
