from django.apps import AppConfig


class DashboardConfig(AppConfig):
    """HTML pages without models of their own: they read by the API's queries and write by its views."""

    name = "dashboard"
