from django.urls import include, path
from rest_framework.routers import SimpleRouter

from core import paths
from features.multivariate.views import OptionByUUIDView, OptionViewSet

router = SimpleRouter()
router.register(
    rf"projects/(?P<project_pk>{paths.ID})/features/(?P<feature_pk>{paths.ID})/mv-options",
    OptionViewSet,
    basename="feature-mv-options",
)

urlpatterns = [
    path("multivariate/options/get-by-uuid/<uuid:uuid>/", OptionByUUIDView.as_view()),
    path("", include(router.urls)),
]
