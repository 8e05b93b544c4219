from django.urls import re_path

from core import paths
from features.environment_flags.views import FlagView, SegmentOverrideView

FLAG = rf"^environments/(?P<environment_api_key>{paths.ENVIRONMENT_KEY})/features/(?P<feature_pk>{paths.ID})/"

urlpatterns = [
    re_path(rf"{FLAG}$", FlagView.as_view()),
    re_path(rf"{FLAG}segment-overrides/(?P<segment_pk>{paths.ID})/$", SegmentOverrideView.as_view()),
]
