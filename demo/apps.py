from django.apps import AppConfig


class DemoConfig(AppConfig):
    """Without models: the app is installed for its management command ``seed_demo``."""

    name = "demo"
