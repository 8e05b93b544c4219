from django.db import models
from django.utils import timezone


class RelatedObjectType(models.TextChoices):
    """The type of an entry's object: all of Flagsmith's, because clients know them. Some have no counterpart here."""

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
    """The operation on an entry's object."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    UNKNOWN = "UNKNOWN"


class AuditLog(models.Model):
    """An entry of the audit log: who changed what, and when. Written in the transaction of the change, never updated.

    An entry is kept when its project or environment is deleted, with their ids. So these foreign keys have no database
    constraint. It is deleted with its organisation.
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
    # The feature that was changed, and whose state: of a segment, an identity, or (None) the environment's default. Not
    # foreign keys, since entries are kept.
    feature_id = models.IntegerField(null=True)
    segment_id = models.IntegerField(null=True)
    identity_id = models.IntegerField(null=True)
    is_system_event = models.BooleanField(default=False)
    change_type = models.CharField(max_length=10, choices=ChangeType.choices, default=ChangeType.UNKNOWN)
    change_details = models.JSONField(default=list)
    transaction = models.UUIDField(db_index=True)

    class Meta:
        ordering = ["-created_date", "-id"]
        indexes = [
            models.Index(fields=["project", "-created_date", "-id"], name="audit_of_project"),
            models.Index(fields=["organisation", "-created_date", "-id"], name="audit_of_organisation"),
            models.Index(
                fields=["feature_id", "-created_date", "-id"],
                condition=models.Q(feature_id__isnull=False),
                name="audit_of_feature",
            ),
        ]

    def __str__(self) -> str:
        return self.log


class AnnouncedVersion(models.Model):
    """A version of an environment with the transaction that raised it: links events and entries (audit/events.py).

    ``streaming_enabled`` is false if the event was not published, because the gate was closed.
    """

    transaction = models.UUIDField(db_index=True)
    environment = models.ForeignKey(
        "environments.Environment", on_delete=models.CASCADE, related_name="announced_versions", db_index=False
    )
    updated_at = models.DateTimeField()
    streaming_enabled = models.BooleanField()

    class Meta:
        ordering = ["-updated_at", "-id"]
        indexes = [models.Index(fields=["environment", "updated_at"], name="announced_version")]

    def __str__(self) -> str:
        return f"{self.environment_id} {self.updated_at.isoformat()}"
