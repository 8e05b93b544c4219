from django.db import models


class ExternalEnvironment(models.Model):
    """An environment that only an external publisher knows of: its key and the newest time that was posted for it."""

    key = models.CharField(max_length=100, primary_key=True)
    updated_at = models.DateTimeField(db_index=True)
