from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from core.paths import ID
from organisations import views
from organisations.groups.views import GroupViewSet, MakeGroupAdminView, RemoveGroupAdminView
from organisations.master_api_keys.views import MasterAPIKeyViewSet

ORGANISATION = f"organisations/(?P<organisation_pk>{ID})"

router = SimpleRouter()
router.register("organisations", views.OrganisationViewSet, basename="organisation")
router.register(f"{ORGANISATION}/users", views.OrganisationUserViewSet, basename="organisation-users")
router.register(
    f"{ORGANISATION}/user-permissions",
    views.UserOrganisationPermissionViewSet,
    basename="organisation-user-permissions",
)
router.register(
    f"{ORGANISATION}/user-group-permissions",
    views.GroupOrganisationPermissionViewSet,
    basename="organisation-user-group-permissions",
)
router.register(f"{ORGANISATION}/groups", GroupViewSet, basename="organisation-groups")
router.register(f"{ORGANISATION}/master-api-keys", MasterAPIKeyViewSet, basename="organisation-master-api-keys")

MEMBER_OF_GROUP = f"{ORGANISATION}/groups/(?P<group_pk>{ID})/users/(?P<user_pk>{ID})"

urlpatterns = [
    # Without a trailing slash, as in Flagsmith.
    re_path(rf"^{MEMBER_OF_GROUP}/make-admin$", MakeGroupAdminView.as_view()),
    re_path(rf"^{MEMBER_OF_GROUP}/remove-admin$", RemoveGroupAdminView.as_view()),
    path("", include("organisations.invites.urls")),
    path("", include(router.urls)),
]
