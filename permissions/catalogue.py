"""Writes the permissions of ``organisations.permissions.catalogue`` into their table."""

from organisations.permissions.catalogue import ENVIRONMENT, ORGANISATION, PROJECT
from permissions.models import PermissionModel


def write(**kwargs: object) -> None:
    """Receiver of ``post_migrate``: creates missing permissions and updates the texts of existing ones."""
    for scope, permissions in (
        (PermissionModel.Scope.PROJECT, PROJECT),
        (PermissionModel.Scope.ENVIRONMENT, ENVIRONMENT),
        (PermissionModel.Scope.ORGANISATION, ORGANISATION),
    ):
        PermissionModel.objects.bulk_create(
            [PermissionModel(key=key, description=text, type=scope) for key, text in permissions.items()],
            update_conflicts=True,
            unique_fields=["key"],
            update_fields=["description", "type"],
        )
