"""What several apps' models share."""

import uuid
from typing import Any

from django.db import models, transaction


class AtomicModel(models.Model):
    """Saves the row and whatever listens to its signals in one transaction, also outside of a request.

    Without it a shell's ``save()`` commits the row first and the environment's version after it; a process killed
    between the two would leave a change that nobody hears of. ``delete()`` is atomic in Django itself.
    """

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic(using=kwargs.get("using"), savepoint=False):
            super().save(*args, **kwargs)


class UUIDModel(AtomicModel):
    """A numeric primary key for clients of the API, and a UUID beside it for those who address by UUID."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)

    class Meta:
        abstract = True
