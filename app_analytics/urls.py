from django.urls import re_path

from app_analytics import views
from core.paths import ID

ORGANISATION = f"organisations/(?P<organisation_pk>{ID})"
FEATURE = f"projects/(?P<project_pk>{ID})/features/(?P<feature_pk>{ID})"

urlpatterns = [
    re_path(f"^{ORGANISATION}/usage-data/$", views.UsageDataView.as_view()),
    re_path(f"^{ORGANISATION}/usage-data/total-count/$", views.TotalCountView.as_view()),
    re_path(f"^{ORGANISATION}/usage-data/streams/$", views.StreamsView.as_view()),
    re_path(f"^{ORGANISATION}/usage/$", views.UsageEventsView.as_view()),
    re_path(f"^{FEATURE}/evaluation-data/$", views.EvaluationDataView.as_view()),
]
