"""How people come into an organisation: invited by mail, each for one address, or by a link for whoever has it."""

import secrets

from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from organisations.models import Organisation, OrganisationRole


def new_hash() -> str:
    """A secret that nobody guesses: 192 random bits, as text that may stand in a path."""
    return secrets.token_urlsafe(24)


class Invite(models.Model):
    """An invitation by mail. The secret stands in the mail alone, and is used up by whoever joins with it."""

    hash = models.CharField(max_length=100, unique=True, default=new_hash)
    date_created = models.DateTimeField(auto_now_add=True)
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="invites")
    role = models.CharField(max_length=50, choices=OrganisationRole.choices, default=OrganisationRole.USER)
    email = models.EmailField()
    # Nobody for a master API key.
    invited_by = models.ForeignKey(
        "users.FFAdminUser", on_delete=models.SET_NULL, related_name="sent_invites", null=True, blank=True
    )
    # The groups that whoever accepts it belongs to from then on.
    permission_groups = models.ManyToManyField("users.UserPermissionGroup", blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint("organisation", Lower("email"), name="unique_invite")]

    def __str__(self) -> str:
        return self.email


class InviteLink(models.Model):
    """A secret with which anybody joins, as often as there are people who have it, until it expires."""

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
