from django.urls import include, path
from rest_framework.routers import SimpleRouter

from diagnosis.views import InspectionViewSet

router = SimpleRouter()
router.register("environments", InspectionViewSet, basename="environment-inspection")

urlpatterns = [path("", include(router.urls))]
