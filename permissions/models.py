from django.db import models


class PermissionModel(models.Model):
    """A permission that users and groups can have in an organisation, project or environment. The key is its name."""

    class Scope(models.TextChoices):
        ORGANISATION = "ORGANISATION"
        PROJECT = "PROJECT"
        ENVIRONMENT = "ENVIRONMENT"

    key = models.CharField(max_length=100, primary_key=True)
    description = models.TextField()
    type = models.CharField(max_length=100, choices=Scope.choices)

    class Meta:
        ordering = ["key"]

    def __str__(self) -> str:
        return self.key
