"""Paths below a project's ``compare/``."""

from django.urls import path

from dashboard.comparison import pages

urlpatterns = [
    path("", pages.ComparisonPage.as_view(), name="comparison"),
    path("<int:feature_pk>/copy/", pages.CopyFlag.as_view(), name="flag-copy"),
]
