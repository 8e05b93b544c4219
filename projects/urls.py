from django.urls import include, path
from rest_framework.routers import SimpleRouter

from core.paths import ID
from projects import views
from projects.tags.views import TagViewSet

PROJECT = f"projects/(?P<project_pk>{ID})"

router = SimpleRouter()
router.register("projects", views.ProjectViewSet, basename="project")
router.register("organisations", views.OrganisationProjectViewSet, basename="organisation")
router.register(f"{PROJECT}/user-permissions", views.UserProjectPermissionViewSet, basename="project-user-permissions")
router.register(
    f"{PROJECT}/user-group-permissions", views.GroupProjectPermissionViewSet, basename="project-user-group-permissions"
)
router.register(f"{PROJECT}/tags", TagViewSet, basename="project-tags")

urlpatterns = [path("", include(router.urls))]
