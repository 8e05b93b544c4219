from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from core import paths
from features.environment_views import EnvironmentMetricsViewSet
from features.feature_segments.views import (
    FeatureSegmentByUUIDView,
    FeatureSegmentViewSet,
    OverrideView,
    PrioritiesView,
)
from features.feature_states.views import (
    EnvironmentFeatureStateViewSet,
    FeatureStateByUUIDView,
    FeatureStateViewSet,
)
from features.segment_views import AssociatedFeatureViewSet
from features.views import FeatureByUUIDView, FeatureViewSet

ENVIRONMENT = rf"environments/(?P<environment_api_key>{paths.ENVIRONMENT_KEY})"

router = SimpleRouter()
router.register(rf"projects/(?P<project_pk>{paths.ID})/features", FeatureViewSet, basename="project-features")
router.register(rf"{ENVIRONMENT}/featurestates", EnvironmentFeatureStateViewSet, basename="environment-featurestates")
router.register(rf"projects/(?P<project_pk>{paths.ID})/segments", AssociatedFeatureViewSet, basename="project-segments")
router.register("environments", EnvironmentMetricsViewSet, basename="environment")
router.register("features/featurestates", FeatureStateViewSet, basename="featurestates")
router.register("features/feature-segments", FeatureSegmentViewSet, basename="feature-segments")

urlpatterns = [
    path("features/get-by-uuid/<uuid:uuid>/", FeatureByUUIDView.as_view()),
    path("features/featurestates/get-by-uuid/<uuid:uuid>/", FeatureStateByUUIDView.as_view()),
    path("features/feature-segments/get-by-uuid/<uuid:uuid>/", FeatureSegmentByUUIDView.as_view()),
    path("features/feature-segments/update-priorities/", PrioritiesView.as_view()),
    re_path(rf"^{ENVIRONMENT}/features/(?P<feature_pk>{paths.ID})/create-segment-override/$", OverrideView.as_view()),
    path("", include(router.urls)),
]
