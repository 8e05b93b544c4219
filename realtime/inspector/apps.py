from django.apps import AppConfig


class InspectorConfig(AppConfig):
    name = "realtime.inspector"
    label = "realtime_inspector"
    default_auto_field = "django.db.models.AutoField"

    def ready(self) -> None:
        from realtime.delivery import observers
        from realtime.inspector import journal

        observers.use(journal.of)
