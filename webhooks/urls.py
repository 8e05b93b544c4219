from django.urls import include, path
from rest_framework.routers import SimpleRouter

from core.paths import ENVIRONMENT_KEY, ID
from webhooks import views

router = SimpleRouter()
router.register(
    f"environments/(?P<environment_api_key>{ENVIRONMENT_KEY})/webhooks",
    views.WebhookViewSet,
    basename="environment-webhooks",
)
router.register(
    f"organisations/(?P<organisation_pk>{ID})/webhooks",
    views.OrganisationWebhookViewSet,
    basename="organisation-webhooks",
)

urlpatterns = [path("webhooks/test/", views.TrialView.as_view()), path("", include(router.urls))]
