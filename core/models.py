"""What several apps' models share."""

import uuid
from typing import Any

from django.db import models, transaction


class AtomicModel(models.Model):
    """Saves the row and whatever listens to its signals in one transaction, also outside of a request.

    Without it a shell's ``save()`` commits the row first and the environment's version after it; a process killed
    between the two would leave a change that nobody hears of. ``delete()`` is atomic in Django itself.
    """

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic(using=kwargs.get("using"), savepoint=False):
            super().save(*args, **kwargs)


class UUIDModel(AtomicModel):
    """A numeric primary key for clients of the API, and a UUID beside it for those who address by UUID."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)

    class Meta:
        abstract = True


class HeldPermissions(models.Model):
    """The permissions of a user or a group in one scope. Subclasses add the scope, and ``admin`` if it has admins."""

    permissions = models.ManyToManyField("permissions.PermissionModel", blank=True)

    class Meta:
        abstract = True
        ordering = ["id"]


class UserPermissions(HeldPermissions):
    user = models.ForeignKey("users.FFAdminUser", on_delete=models.CASCADE)

    class Meta(HeldPermissions.Meta):
        abstract = True


class GroupPermissions(HeldPermissions):
    """The permissions that each member of a group has."""

    group = models.ForeignKey("users.UserPermissionGroup", on_delete=models.CASCADE)

    class Meta(HeldPermissions.Meta):
        abstract = True
