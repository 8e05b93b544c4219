from django.apps import AppConfig
from django.db.models.signals import post_migrate


class PermissionsConfig(AppConfig):
    name = "permissions"

    def ready(self) -> None:
        from permissions import catalogue

        post_migrate.connect(catalogue.write, sender=self, dispatch_uid="permissions:catalogue")
