from django.apps import AppConfig


class FeaturesConfig(AppConfig):
    name = "features"
    label = "features"

    def ready(self) -> None:
        from features import signals

        signals.connect()
