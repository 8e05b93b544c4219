from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "audit"

    def ready(self) -> None:
        from audit import events, signals
        from realtime.changes import versions

        signals.connect()
        versions.raised.connect(events.store_versions, dispatch_uid="audit:announced_versions")
