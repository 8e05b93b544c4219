from collections.abc import Collection, Iterable
from typing import Any, ClassVar, Self

from django.db import DEFAULT_DB_ALIAS, IntegrityError, models, transaction
from django.db.models import Manager, QuerySet
from django.utils import timezone

from core.models import GroupPermissions, UserPermissions, UUIDModel
from environments import keys


class ReservedKey(models.Model):
    """A client key that an environment has or had, reserved for its organisation permanently.

    Applications contain the key and send it long after the environment has got another key or was deleted. If another
    organisation could use such a key, it could serve flags to these applications.
    """

    key = models.CharField(max_length=100, primary_key=True)
    organisation_id = models.IntegerField()
    """No foreign key: the key stays reserved when the organisation is deleted."""

    @classmethod
    def reserve(cls, using: str, environments: "QuerySet[Any]") -> None:
        """Reserve the keys of these environments. Raises IntegrityError if one is reserved for another organisation.

        If two transactions reserve the same key, the INSERT of the second waits for the end of the first.
        """
        rows = environments.using(using).order_by("api_key").values_list("api_key", "project__organisation_id")
        organisation_ids = dict(rows)
        reserved: QuerySet[Any] = cls.objects.using(using)
        new = (cls(key=key, organisation_id=organisation_id) for key, organisation_id in organisation_ids.items())
        reserved.bulk_create(new, ignore_conflicts=True)
        for key, organisation_id in reserved.filter(key__in=organisation_ids).values_list("key", "organisation_id"):
            if organisation_ids[key] != organisation_id:
                raise IntegrityError("environment key is reserved for another organisation")


class EnvironmentQuerySet(QuerySet[Any]):
    """Also reserves the client keys of rows that are written by ``bulk_create`` and ``update``."""

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        with transaction.atomic(using=self.db):
            created = super().bulk_create(objs, *args, **kwargs)
            self._reserve(api_key__in=[environment.api_key for environment in created])
        return created

    def update(self, **kwargs: Any) -> int:
        if "api_key" not in kwargs:
            return super().update(**kwargs)
        with transaction.atomic(using=self.db):
            pks = list(self.values_list("pk", flat=True))
            updated = super().update(**kwargs)
            self._reserve(pk__in=pks)
        return updated

    update.alters_data = True  # type: ignore[attr-defined]

    def _reserve(self, **conditions: Any) -> None:
        ReservedKey.reserve(self.db, self.model._base_manager.filter(**conditions))


class Environment(UUIDModel):
    """An environment of a project, such as Development or Production. Each feature has a state in it.

    Only ``realtime.changes.versions`` writes its version fields:

    * ``updated_at`` is the version. Each published change raises it by at least a microsecond.
    * ``revision`` counts all changes of what SDKs can read, also those without an event (identity overrides). The read
      path caches by it.
    * ``last_modified`` is the document's ``Last-Modified``: a whole second (Unix time), different for each revision.
      0: there has been no change yet.
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

    objects: ClassVar[Manager["Environment"]] = EnvironmentQuerySet.as_manager()

    _reserved_key: str | None = None
    """The client key of the row when this instance read or saved it."""

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="unique_environment_name")]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any]) -> Self:
        environment = super().from_db(db, field_names, values)
        environment._reserved_key = environment.__dict__.get("api_key")
        return environment

    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        """Save all fields but the version fields: this instance may have older values than the row.

        Raises IntegrityError if the client key is reserved for another organisation.
        """
        if not self._state.adding and update_fields is None:
            update_fields = {
                field.name for field in self._meta.concrete_fields if not field.primary_key
            } - self.VERSION_FIELDS
        with transaction.atomic(using=kwargs.get("using"), savepoint=False):
            super().save(*args, update_fields=update_fields, **kwargs)
            if self.api_key != self._reserved_key and (update_fields is None or "api_key" in update_fields):
                using = self._state.db or DEFAULT_DB_ALIAS
                ReservedKey.reserve(using, self.__class__._base_manager.filter(pk=self.pk))
                self._reserved_key = self.api_key


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


class UserEnvironmentPermission(UserPermissions):
    """A user's permissions in an environment. ``admin`` includes all of them."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="userpermission")
    admin = models.BooleanField(default=False)

    class Meta(UserPermissions.Meta):
        constraints = [models.UniqueConstraint(fields=["user", "environment"], name="unique_user_environment")]


class UserPermissionGroupEnvironmentPermission(GroupPermissions):
    """A group's permissions in an environment."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="grouppermission")
    admin = models.BooleanField(default=False)

    class Meta(GroupPermissions.Meta):
        constraints = [
            models.UniqueConstraint(fields=["group", "environment"], name="unique_group_environment_permission")
        ]


class Webhook(UUIDModel):
    """A webhook for the changes of an environment's flags. The package ``webhooks`` delivers them."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="webhooks")
    url = models.URLField(max_length=200)
    secret = models.CharField(max_length=255, blank=True)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]
