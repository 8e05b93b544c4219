import uuid

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from core.models import AtomicModel, UUIDModel
from features.values import TypedValue


class FeatureType(models.TextChoices):
    STANDARD = "STANDARD"
    MULTIVARIATE = "MULTIVARIATE"


class Feature(UUIDModel):
    """A feature of a project, with a state in every environment. Names are unique regardless of case."""

    name = models.CharField(max_length=2000)
    created_date = models.DateTimeField(auto_now_add=True)
    project = models.ForeignKey("projects.Project", on_delete=models.CASCADE, related_name="features")
    initial_value = models.CharField(max_length=settings.FEATURE_VALUE_LIMIT, null=True, blank=True)
    description = models.TextField(null=True, blank=True)
    default_enabled = models.BooleanField(default=False)
    type = models.CharField(max_length=50, choices=FeatureType.choices, default=FeatureType.STANDARD, blank=True)
    tags = models.ManyToManyField("tags.Tag", blank=True)
    is_archived = models.BooleanField(default=False)
    owners = models.ManyToManyField("users.FFAdminUser", related_name="owned_features", blank=True)
    group_owners = models.ManyToManyField("users.UserPermissionGroup", related_name="owned_features", blank=True)
    is_server_key_only = models.BooleanField(default=False)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint("project", Lower("name"), name="unique_feature_name")]

    def __str__(self) -> str:
        return self.name


class FeatureSegment(UUIDModel):
    """A segment override of a feature in an environment. The override's state has a foreign key to it.

    The override with the lowest ``priority`` takes precedence.
    """

    feature = models.ForeignKey(Feature, on_delete=models.CASCADE, related_name="feature_segments")
    segment = models.ForeignKey("segments.Segment", on_delete=models.CASCADE, related_name="feature_segments")
    environment = models.ForeignKey(
        "environments.Environment", on_delete=models.CASCADE, related_name="feature_segments"
    )
    priority = models.IntegerField(default=0)

    class Meta:
        ordering = ["priority", "id"]


class FeatureState(AtomicModel):
    """The state of a feature: an environment's default, a segment override, or an identity override.

    A live state has a ``version``; constraints guarantee at most one for each ``features.changes.StateKey``. A state
    without a version belongs to a change request that is not live, and is not served.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    feature = models.ForeignKey(Feature, on_delete=models.CASCADE, related_name="feature_states")
    environment = models.ForeignKey("environments.Environment", on_delete=models.CASCADE, related_name="feature_states")
    identity = models.ForeignKey(
        "identities.Identity", on_delete=models.CASCADE, related_name="identity_features", null=True, blank=True
    )
    feature_segment = models.ForeignKey(
        FeatureSegment, on_delete=models.CASCADE, related_name="feature_states", null=True, blank=True
    )
    enabled = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    live_from = models.DateTimeField(null=True, blank=True, default=timezone.now)
    version = models.IntegerField(null=True, blank=True, default=1)
    change_request = models.ForeignKey(
        "workflows_core.ChangeRequest",
        on_delete=models.SET_NULL,
        related_name="feature_states",
        null=True,
        blank=True,
    )
    # Primary key of the first state that this one replaced: identities keep their variants.
    mv_hashing_salt = models.IntegerField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        # Nulls are excluded: SQLite prefers a unique index for "IS NULL" and would then scan all states.
        constraints = [
            models.UniqueConstraint(
                fields=["environment", "feature"],
                condition=models.Q(identity=None, feature_segment=None, version__isnull=False),
                name="unique_environment_default",
            ),
            models.UniqueConstraint(
                fields=["feature_segment"],
                condition=models.Q(identity=None, version__isnull=False, feature_segment__isnull=False),
                name="unique_segment_override",
            ),
            models.UniqueConstraint(
                fields=["identity", "feature"],
                condition=models.Q(version__isnull=False, identity__isnull=False),
                name="unique_identity_override",
            ),
        ]
        # For the counts of overrides in a list of features.
        indexes = [models.Index(fields=["environment", "feature"], name="environment_and_feature")]


class FeatureStateValue(TypedValue, AtomicModel):
    """The value of a feature state."""

    feature_state = models.OneToOneField(FeatureState, on_delete=models.CASCADE, related_name="feature_state_value")
    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
