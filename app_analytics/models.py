from typing import ClassVar

from django.db import models


class Resource(models.IntegerChoices):
    """The kinds of requests, with Flagsmith's numbers. Flagsmith does not count streams."""

    FLAGS = 1
    IDENTITIES = 2
    TRAITS = 3
    ENVIRONMENT_DOCUMENT = 4
    STREAMS = 100


BILLABLE = (Resource.FLAGS, Resource.IDENTITIES, Resource.TRAITS, Resource.ENVIRONMENT_DOCUMENT)
"""All requests except opened streams."""


class AbstractBucket(models.Model):
    """A count of an environment, a day (UTC) and a set of labels.

    There is no foreign key to the environment: if it is deleted while its counts wait to be written, the write of all
    counts must not fail.
    """

    key_fields: ClassVar[tuple[str, ...]]
    """The columns of the unique key."""

    # An upsert takes a value of the sequence even if the row exists, so integers could run out.
    id = models.BigAutoField(primary_key=True)
    environment_id = models.PositiveIntegerField()
    day = models.DateField()
    labels = models.JSONField(default=dict)
    """The labels that the client sent, in the order of ``labels.NAMES``, because SQLite compares JSON as text."""
    total_count = models.PositiveBigIntegerField()

    class Meta:
        abstract = True


class APIUsageBucket(AbstractBucket):
    """The number of requests of SDKs, or of opened streams."""

    key_fields = ("environment_id", "resource", "day", "labels")

    resource = models.PositiveSmallIntegerField(choices=Resource.choices)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["environment_id", "resource", "day", "labels"], name="usage_counted_once")
        ]
        indexes = [models.Index(fields=["day"], name="usage_day")]


class FeatureEvaluationBucket(AbstractBucket):
    """The number of a flag's evaluations that SDKs reported.

    With the feature's primary key. Flagsmith stores the name, which can be too long for an index.
    """

    key_fields = ("environment_id", "feature_id", "day", "labels")

    feature_id = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["environment_id", "feature_id", "day", "labels"], name="evaluations_counted_once"
            )
        ]
        indexes = [models.Index(fields=["day"], name="evaluations_day")]
