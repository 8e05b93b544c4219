from django.apps import AppConfig


class EnvironmentsConfig(AppConfig):
    name = "environments"
    label = "environments"

    def ready(self) -> None:
        from environments import patterns
        from environments.sdk import schema  # noqa: F401

        patterns.install()
