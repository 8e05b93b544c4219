from django.db import models
from django.utils import timezone


class RelatedObjectType(models.TextChoices):
    """What an entry is about. Some of Flagsmith's kinds have no counterpart here; clients know them all."""

    FEATURE = "FEATURE", "Feature"
    FEATURE_STATE = "FEATURE_STATE", "Feature state"
    SEGMENT = "SEGMENT", "Segment"
    ENVIRONMENT = "ENVIRONMENT", "Environment"
    CHANGE_REQUEST = "CHANGE_REQUEST", "Change request"
    EDGE_IDENTITY = "EDGE_IDENTITY", "Edge Identity"
    IMPORT_REQUEST = "IMPORT_REQUEST", "Import request"
    EF_VERSION = "EF_VERSION", "Environment feature version"
    FEATURE_HEALTH = "FEATURE_HEALTH", "Feature health status"
    RELEASE_PIPELINE = "RELEASE_PIPELINE", "Release pipeline"
    WAREHOUSE_CONNECTION = "WAREHOUSE_CONNECTION", "Warehouse connection"
    EXPERIMENT = "EXPERIMENT", "Experiment"
    METRIC = "METRIC", "Metric"


class ChangeType(models.TextChoices):
    """What happened to the object that an entry is about."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    UNKNOWN = "UNKNOWN"


class AuditLog(models.Model):
    """An entry of the log: who changed what, and when. Written in the transaction of the change, and never again.

    The log outlives what it tells of: an entry keeps the numbers of its project and its environment when those are
    gone, so the database does not guard them. It goes with its organisation.
    """

    created_date = models.DateTimeField(default=timezone.now)
    organisation = models.ForeignKey(
        "organisations.Organisation", on_delete=models.CASCADE, related_name="audit_logs", db_index=False
    )
    project = models.ForeignKey(
        "projects.Project",
        on_delete=models.DO_NOTHING,
        related_name="audit_logs",
        null=True,
        db_constraint=False,
        db_index=False,
    )
    environment = models.ForeignKey(
        "environments.Environment",
        on_delete=models.DO_NOTHING,
        related_name="audit_logs",
        null=True,
        db_constraint=False,
    )
    log = models.TextField()
    author = models.ForeignKey(
        "users.FFAdminUser", on_delete=models.SET_NULL, related_name="audit_logs", null=True, blank=True
    )
    master_api_key = models.ForeignKey(
        "api_keys.MasterAPIKey", on_delete=models.SET_NULL, related_name="audit_logs", null=True, blank=True
    )
    related_object_id = models.IntegerField(null=True)
    related_object_type = models.CharField(max_length=20, null=True, choices=RelatedObjectType.choices)
    related_object_uuid = models.CharField(max_length=36, null=True)
    is_system_event = models.BooleanField(default=False)
    change_type = models.CharField(max_length=10, choices=ChangeType.choices, default=ChangeType.UNKNOWN)
    change_details = models.JSONField(default=list)
    transaction = models.UUIDField(db_index=True)

    class Meta:
        ordering = ["-created_date", "-id"]
        indexes = [
            models.Index(fields=["project", "-created_date", "-id"], name="audit_of_project"),
            models.Index(fields=["organisation", "-created_date", "-id"], name="audit_of_organisation"),
        ]

    def __str__(self) -> str:
        return self.log


class AnnouncedVersion(models.Model):
    """That a transaction raised an environment's version to this: it joins events and entries (audit/events.py).

    ``live`` is whether the environment's streams heard of it, or would have if any had been open.
    """

    transaction = models.UUIDField(db_index=True)
    environment = models.ForeignKey(
        "environments.Environment", on_delete=models.CASCADE, related_name="announced_versions", db_index=False
    )
    updated_at = models.DateTimeField()
    live = models.BooleanField()

    class Meta:
        ordering = ["-updated_at", "-id"]
        indexes = [models.Index(fields=["environment", "updated_at"], name="announced_version")]

    def __str__(self) -> str:
        return f"{self.environment_id} {self.updated_at.isoformat()}"
