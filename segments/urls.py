from django.urls import include, path
from rest_framework.routers import SimpleRouter

from core.paths import ID
from segments.views import SegmentByUUIDView, SegmentViewSet

router = SimpleRouter()
router.register(rf"projects/(?P<project_pk>{ID})/segments", SegmentViewSet, basename="project-segments")

urlpatterns = [
    path("segments/get-by-uuid/<uuid:uuid>/", SegmentByUUIDView.as_view()),
    path("", include(router.urls)),
]
