from collections.abc import Iterable
from typing import Any

from django.db import models
from django.utils import timezone

from core.models import UUIDModel
from environments import keys
from permissions.models import PermissionModel


class Environment(UUIDModel):
    """A place where features have states: Development, Production.

    Its versions stand here, all written by ``realtime.versions`` alone:

    * ``updated_at`` rises with every change that is announced to SDKs, by at least a microsecond.
    * ``revision`` counts every change of what an SDK can read, silent ones (identity overrides) included; the read
      path caches by it.
    * ``last_modified`` is a whole second (Unix time) that no other revision of the environment has: the document's
      ``Last-Modified``. 0: there has been no change yet.
    """

    VERSION_FIELDS = frozenset({"updated_at", "revision", "last_modified"})

    name = models.CharField(max_length=2000)
    created_date = models.DateTimeField(auto_now_add=True)
    description = models.TextField(max_length=20_000, null=True, blank=True)
    project = models.ForeignKey("projects.Project", on_delete=models.CASCADE, related_name="environments")
    api_key = models.CharField(max_length=100, unique=True, default=keys.client_key)
    minimum_change_request_approvals = models.IntegerField(null=True, blank=True)
    allow_client_traits = models.BooleanField(default=True)
    banner_text = models.CharField(max_length=255, null=True, blank=True)
    banner_colour = models.CharField(max_length=7, null=True, blank=True)
    hide_disabled_flags = models.BooleanField(null=True, blank=True)
    use_identity_composite_key_for_hashing = models.BooleanField(default=True)
    hide_sensitive_data = models.BooleanField(default=False)
    use_v2_feature_versioning = models.BooleanField(default=False)
    use_identity_overrides_in_local_eval = models.BooleanField(default=True)
    is_creating = models.BooleanField(default=False)
    updated_at = models.DateTimeField(default=timezone.now, db_index=True)
    revision = models.BigIntegerField(default=0)
    last_modified = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="unique_environment_name")]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        """Save all but the versions: an instance read before another change must not set them back."""
        if not self._state.adding and update_fields is None:
            update_fields = {
                field.name for field in self._meta.concrete_fields if not field.primary_key
            } - self.VERSION_FIELDS
        super().save(*args, update_fields=update_fields, **kwargs)


class EnvironmentAPIKey(models.Model):
    """A server-side key of an environment."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="api_keys")
    key = models.CharField(max_length=100, unique=True, default=keys.server_key)
    created_at = models.DateTimeField(auto_now_add=True)
    name = models.CharField(max_length=100)
    expires_at = models.DateTimeField(null=True, blank=True)
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["id"]


class UserEnvironmentPermission(models.Model):
    """What a user may do in an environment; ``admin`` covers everything there."""

    user = models.ForeignKey("users.FFAdminUser", on_delete=models.CASCADE)
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="userpermission")
    permissions = models.ManyToManyField(PermissionModel, blank=True)
    admin = models.BooleanField(default=False)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["user", "environment"], name="unique_user_environment")]


class UserPermissionGroupEnvironmentPermission(models.Model):
    """What the members of a group may do in an environment."""

    group = models.ForeignKey("users.UserPermissionGroup", on_delete=models.CASCADE)
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="grouppermission")
    permissions = models.ManyToManyField(PermissionModel, blank=True)
    admin = models.BooleanField(default=False)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["group", "environment"], name="unique_group_environment_permission")
        ]


class Webhook(UUIDModel):
    """Where to tell of changes of an environment's flags; ``webhooks`` does it."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="webhooks")
    url = models.URLField(max_length=200)
    secret = models.CharField(max_length=255, blank=True)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]
