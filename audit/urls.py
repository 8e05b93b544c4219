from django.urls import include, path
from rest_framework.routers import SimpleRouter

from audit import views
from core.paths import ID

router = SimpleRouter()
router.register("audit", views.AuditLogViewSet, basename="audit")
router.register(
    f"organisations/(?P<organisation_pk>{ID})/audit", views.OrganisationAuditLogViewSet, basename="organisation-audit"
)
router.register(f"projects/(?P<project_pk>{ID})/audit", views.ProjectAuditLogViewSet, basename="project-audit")

urlpatterns = [path("", include(router.urls))]
