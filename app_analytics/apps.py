from django.apps import AppConfig


class AppAnalyticsConfig(AppConfig):
    name = "app_analytics"

    def ready(self) -> None:
        from app_analytics import meter
        from realtime.delivery.connections import opened

        opened.connect(meter.stream_opened, dispatch_uid="app_analytics:stream_opened")
