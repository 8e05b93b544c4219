"""Stored exports of features, and the record of imports."""

from django.db import models

MAX_BYTES = 1_000_000
"""Of an export, and of a file to import."""


class Status(models.TextChoices):
    """Flagsmith's states of an export or import. Here the request does the work, so a stored one is a success."""

    SUCCESS = "SUCCESS"
    PROCESSING = "PROCESSING"
    FAILED = "FAILED"


class Strategy(models.TextChoices):
    """What an import does with a feature that the project has already."""

    SKIP = "SKIP", "Skip features that exist"
    OVERWRITE_DESTRUCTIVE = "OVERWRITE_DESTRUCTIVE", "Overwrite features that exist"


class FeatureExport(models.Model):
    """The features of an environment at one moment, to be downloaded."""

    environment = models.ForeignKey(
        "environments.Environment", on_delete=models.CASCADE, related_name="feature_exports"
    )
    status = models.CharField(max_length=50, choices=Status.choices, default=Status.SUCCESS)
    # A JSON list. As text, which keeps the order of names.
    data = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]


class FeatureImport(models.Model):
    """A finished import into an environment, with the numbers of features that it has created and changed."""

    environment = models.ForeignKey(
        "environments.Environment", on_delete=models.CASCADE, related_name="feature_imports"
    )
    strategy = models.CharField(max_length=50, choices=Strategy.choices)
    status = models.CharField(max_length=50, choices=Status.choices, default=Status.SUCCESS)
    created_features = models.IntegerField(default=0)
    overwritten_features = models.IntegerField(default=0)
    skipped_features = models.IntegerField(default=0)
    # Segment and identity overrides of the overwritten features.
    removed_overrides = models.IntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
