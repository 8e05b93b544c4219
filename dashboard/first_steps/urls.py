"""Paths below an environment's ``first-steps/``."""

from django.urls import path

from dashboard.first_steps import pages

urlpatterns = [
    path("", pages.FirstStepsPage.as_view(), name="first-steps"),
    path("feature/", pages.FirstFeature.as_view(), name="first-feature"),
    path("key/", pages.FirstKey.as_view(), name="first-key"),
    path("arrival/", pages.Arrival.as_view(), name="first-arrival"),
]
