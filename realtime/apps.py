from django.apps import AppConfig


class RealtimeConfig(AppConfig):
    name = "realtime"
    default_auto_field = "django.db.models.AutoField"

    def ready(self) -> None:
        from realtime import checks, flagsmith  # noqa: F401
        from realtime.changes import signals

        signals.connect()
        flagsmith.connect()
