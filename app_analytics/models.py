from typing import ClassVar

from django.db import models


class Resource(models.IntegerChoices):
    """What an SDK asked for. Flagsmith's numbers; streams, which it does not count, are ours."""

    FLAGS = 1
    IDENTITIES = 2
    TRAITS = 3
    ENVIRONMENT_DOCUMENT = 4
    STREAMS = 100


BILLABLE = (Resource.FLAGS, Resource.IDENTITIES, Resource.TRAITS, Resource.ENVIRONMENT_DOCUMENT)
"""Requests. An opened stream is none."""


class AbstractBucket(models.Model):
    """How often something happened in an environment on a day (UTC), under one set of labels.

    An environment is named by its number alone: one that is deleted while its last requests wait to be written must
    not hold up everybody else's.
    """

    counted_by: ClassVar[tuple[str, ...]]
    """The columns that say what is counted: together they are unique."""

    # Each writing takes a number of the sequence, also where the row is there already.
    id = models.BigAutoField(primary_key=True)
    environment_id = models.PositiveIntegerField()
    day = models.DateField()
    labels = models.JSONField(default=dict)
    """Those of ``labels.NAMES`` that the client gave, in that order: SQLite compares the text."""
    total_count = models.PositiveBigIntegerField()

    class Meta:
        abstract = True


class APIUsageBucket(AbstractBucket):
    """Requests of SDKs, and streams that they opened."""

    counted_by = ("environment_id", "resource", "day", "labels")

    resource = models.PositiveSmallIntegerField(choices=Resource.choices)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["environment_id", "resource", "day", "labels"], name="usage_counted_once")
        ]
        indexes = [models.Index(fields=["day"], name="usage_day")]


class FeatureEvaluationBucket(AbstractBucket):
    """How often applications asked their SDKs for a flag.

    By the feature's number. Flagsmith takes the name, which may be longer than what an index can hold.
    """

    counted_by = ("environment_id", "feature_id", "day", "labels")

    feature_id = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["environment_id", "feature_id", "day", "labels"], name="evaluations_counted_once"
            )
        ]
        indexes = [models.Index(fields=["day"], name="evaluations_day")]
