from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from core.paths import ID
from organisations.invites import views

ORGANISATION = f"organisations/(?P<organisation_pk>{ID})"
HASH = "(?P<hash>[0-9A-Za-z_-]{1,100})"

router = SimpleRouter()
router.register(f"{ORGANISATION}/invites", views.InviteViewSet, basename="organisation-invites")
router.register(f"{ORGANISATION}/invite-links", views.InviteLinkViewSet, basename="organisation-invite-links")

urlpatterns = [
    re_path(rf"^{ORGANISATION}/invite/$", views.InvitesView.as_view()),
    re_path(rf"^users/join/{HASH}/$", views.JoinByMailView.as_view()),
    re_path(rf"^users/join/link/{HASH}/$", views.JoinByLinkView.as_view()),
    path("", include(router.urls)),
]
