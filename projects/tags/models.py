from django.db import models

from core.models import UUIDModel


class Tag(UUIDModel):
    """A coloured label for features in the dashboard. SDKs do not read tags."""

    label = models.CharField(max_length=100)
    color = models.CharField(max_length=10, default="#6837FC")
    description = models.CharField(max_length=512, null=True, blank=True)
    project = models.ForeignKey("projects.Project", on_delete=models.CASCADE, related_name="tags")
    is_permanent = models.BooleanField(default=False)
    is_system_tag = models.BooleanField(default=False)
    type = models.CharField(max_length=100, default="NONE")

    class Meta:
        ordering = ["id"]
