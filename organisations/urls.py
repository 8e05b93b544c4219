from django.urls import include, path
from rest_framework.routers import SimpleRouter

from api_keys.views import MasterAPIKeyViewSet
from core.paths import ID
from organisations import views

BELOW = f"organisations/(?P<organisation_pk>{ID})"

router = SimpleRouter()
router.register("organisations", views.OrganisationViewSet, basename="organisation")
router.register(f"{BELOW}/users", views.OrganisationUserViewSet, basename="organisation-users")
router.register(
    f"{BELOW}/user-permissions", views.UserOrganisationPermissionViewSet, basename="organisation-user-permissions"
)
router.register(f"{BELOW}/master-api-keys", MasterAPIKeyViewSet, basename="organisation-master-api-keys")

urlpatterns = [path("", include(router.urls))]
