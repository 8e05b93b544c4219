from django.urls import path

from sdk import views

urlpatterns = [
    path("flags/", views.FlagsView.as_view(), name="sdk-flags"),
    path("identities/", views.IdentitiesView.as_view(), name="sdk-identities"),
    path("traits/", views.TraitsView.as_view(), name="sdk-traits"),
    path("traits/bulk/", views.BulkTraitsView.as_view(), name="sdk-traits-bulk"),
    path("environment-document/", views.DocumentView.as_view(), name="sdk-environment-document"),
    path("analytics/flags/", views.FlagAnalyticsView.as_view(), name="sdk-flag-analytics"),
]
