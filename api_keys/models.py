from django.db import models
from rest_framework_api_key.models import AbstractAPIKey


class MasterAPIKey(AbstractAPIKey):
    """A key with which scripts act as an admin of an organisation. Only its hash is stored."""

    organisation = models.ForeignKey(
        "organisations.Organisation", on_delete=models.CASCADE, related_name="master_api_keys"
    )
    created_by = models.ForeignKey("users.FFAdminUser", on_delete=models.SET_NULL, null=True, blank=True)
    is_admin = models.BooleanField(default=True)

    key: str
    """The key in plain text. Only an instance that was just created has it."""
