from django.db import models


class ExternalEnvironment(models.Model):
    """An environment that only an external publisher knows of: its key and the newest time that was posted for it."""

    key = models.CharField(max_length=100, primary_key=True)
    updated_at = models.DateTimeField()
    received_at = models.DateTimeField(auto_now=True, db_index=True)
    """When the post was received, by this server's clock: a publisher's may lag, and its post may be late."""
