from django.urls import include, path
from rest_framework.routers import SimpleRouter

from sdk import views
from sdk.admin_views import EnvironmentDocumentViewSet, EvaluationViewSet

router = SimpleRouter()
router.register("environments", EnvironmentDocumentViewSet, basename="environment")
router.register("environments", EvaluationViewSet, basename="environment-evaluation")

urlpatterns = [
    path("", include(router.urls)),
    path("flags/", views.FlagsView.as_view(), name="sdk-flags"),
    path("identities/", views.IdentitiesView.as_view(), name="sdk-identities"),
    path("traits/", views.TraitsView.as_view(), name="sdk-traits"),
    path("traits/bulk/", views.BulkTraitsView.as_view(), name="sdk-traits-bulk"),
    path("environment-document/", views.DocumentView.as_view(), name="sdk-environment-document"),
    path("analytics/flags/", views.FlagAnalyticsView.as_view(), name="sdk-flag-analytics"),
]
