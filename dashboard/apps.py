from django.apps import AppConfig


class DashboardConfig(AppConfig):
    """The pages for people. They have no models and no rules: they read by the API's queries and write by its views."""

    name = "dashboard"
