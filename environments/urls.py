from django.urls import include, path
from rest_framework.routers import SimpleRouter

from core.paths import ENVIRONMENT_KEY
from environments import views

ENVIRONMENT = f"environments/(?P<environment_api_key>{ENVIRONMENT_KEY})"

router = SimpleRouter()
router.register("environments", views.EnvironmentViewSet, basename="environment")
router.register("projects", views.ProjectEnvironmentViewSet, basename="project")
router.register(f"{ENVIRONMENT}/api-keys", views.EnvironmentAPIKeyViewSet, basename="environment-api-keys")
router.register(
    f"{ENVIRONMENT}/user-permissions", views.UserEnvironmentPermissionViewSet, basename="environment-user-permissions"
)

router.register(
    f"{ENVIRONMENT}/user-group-permissions",
    views.GroupEnvironmentPermissionViewSet,
    basename="environment-user-group-permissions",
)

urlpatterns = [path("", include("environments.versioning")), path("", include(router.urls))]
