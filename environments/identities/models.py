from django.db import models

from core.models import AtomicModel


class Identity(AtomicModel):
    """A user of an application in one environment. The application chooses the identifier."""

    identifier = models.CharField(max_length=2000)
    created_date = models.DateTimeField(auto_now_add=True)
    environment = models.ForeignKey("environments.Environment", on_delete=models.CASCADE, related_name="identities")

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["environment", "identifier"], name="unique_identifier")]

    def __str__(self) -> str:
        return self.identifier
