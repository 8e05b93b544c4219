from django.apps import AppConfig


class SegmentsConfig(AppConfig):
    name = "segments"
    label = "segments"

    def ready(self) -> None:
        from segments import signals

        signals.connect()
