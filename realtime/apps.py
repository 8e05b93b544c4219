from django.apps import AppConfig


class RealtimeConfig(AppConfig):
    name = "realtime"
    default_auto_field = "django.db.models.AutoField"

    def ready(self) -> None:
        from django.db.backends.signals import connection_created

        from realtime import checks, signals, versions  # noqa: F401

        signals.connect()
        connection_created.connect(versions.watch_rollbacks, dispatch_uid="realtime:watch_rollbacks")
