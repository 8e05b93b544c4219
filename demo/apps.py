from django.apps import AppConfig


class DemoConfig(AppConfig):
    """The app of the management command ``seed_demo``; it has no models."""

    name = "demo"
