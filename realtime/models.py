from django.db import models


class ExternalEnvironment(models.Model):
    """An environment that is not in the project's database: its key, and the newest version posted for it."""

    key = models.CharField(max_length=100, primary_key=True)
    updated_at = models.DateTimeField()
    received_at = models.DateTimeField(auto_now=True, db_index=True)
    """The time of the post by this server's clock. ``updated_at`` is by the publisher's clock, and may be older."""
