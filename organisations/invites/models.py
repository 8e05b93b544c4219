"""Invitations to an organisation: by mail, for one address; or by a link, for all who have it."""

import secrets

from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from organisations.models import Organisation, OrganisationRole


def new_hash() -> str:
    """A random secret of 192 bits, in characters that are safe in paths."""
    return secrets.token_urlsafe(24)


class Invite(models.Model):
    """An invitation by mail. Only the mail contains the secret, which can be used once."""

    hash = models.CharField(max_length=100, unique=True, default=new_hash)
    date_created = models.DateTimeField(auto_now_add=True)
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="invites")
    role = models.CharField(max_length=50, choices=OrganisationRole.choices, default=OrganisationRole.USER)
    email = models.EmailField()
    invited_by = models.ForeignKey(
        "users.FFAdminUser", on_delete=models.SET_NULL, related_name="sent_invites", null=True, blank=True
    )
    """Null if the invitation was created with a master API key."""
    permission_groups = models.ManyToManyField("users.UserPermissionGroup", blank=True)
    """The groups that the invited user is added to."""

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint("organisation", Lower("email"), name="unique_invite")]

    def __str__(self) -> str:
        return self.email


class InviteLink(models.Model):
    """An invitation by a link. Any number of users may join with its secret until it expires."""

    hash = models.CharField(max_length=100, unique=True, default=new_hash)
    date_created = models.DateTimeField(auto_now_add=True)
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="invite_links")
    role = models.CharField(max_length=50, choices=OrganisationRole.choices, default=OrganisationRole.USER)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]

    @property
    def has_expired(self) -> bool:
        return self.expires_at is not None and timezone.now() >= self.expires_at
