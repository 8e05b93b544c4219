from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from core import paths
from features.urls import ENVIRONMENT
from features.workflows.core.project_views import ProjectChangeRequestViewSet
from features.workflows.core.views import ChangeRequestViewSet, CreateChangeRequestView, ListChangeRequestsView

router = SimpleRouter()
router.register("features/workflows/change-requests", ChangeRequestViewSet, basename="change-requests")
router.register(
    rf"projects/(?P<project_pk>{paths.ID})/change-requests",
    ProjectChangeRequestViewSet,
    basename="project-change-requests",
)

urlpatterns = [
    re_path(rf"^{ENVIRONMENT}/create-change-request/$", CreateChangeRequestView.as_view()),
    re_path(rf"^{ENVIRONMENT}/list-change-requests/$", ListChangeRequestsView.as_view()),
    path("", include(router.urls)),
]
