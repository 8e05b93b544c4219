"""Abstract base models."""

import uuid
from typing import Any

from django.db import models, transaction


class AtomicModel(models.Model):
    """A model whose ``save()`` runs its signals' receivers in the row's transaction, also outside of a request.

    Otherwise a shell's ``save()`` commits the row first and the environment's version after it; if the process exits
    between the two, the change is never published. ``delete()`` is atomic in Django itself.
    """

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic(using=kwargs.get("using"), savepoint=False):
            super().save(*args, **kwargs)


class UUIDModel(AtomicModel):
    """A model with a UUID besides its numeric primary key: some endpoints of Flagsmith take one, some the other."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)

    class Meta:
        abstract = True


class GrantedPermissions(models.Model):
    """The permissions of a user or a group in one scope. Subclasses add the scope, and ``admin`` if it has admins."""

    permissions = models.ManyToManyField("permissions.PermissionModel", blank=True)

    class Meta:
        abstract = True
        ordering = ["id"]


class UserPermissions(GrantedPermissions):
    user = models.ForeignKey("users.FFAdminUser", on_delete=models.CASCADE)

    class Meta(GrantedPermissions.Meta):
        abstract = True


class GroupPermissions(GrantedPermissions):
    """The permissions that each member of a group has."""

    group = models.ForeignKey("users.UserPermissionGroup", on_delete=models.CASCADE)

    class Meta(GrantedPermissions.Meta):
        abstract = True
