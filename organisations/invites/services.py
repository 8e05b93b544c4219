"""Creation and acceptance of invitations."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Lower
from rest_framework.exceptions import APIException, PermissionDenied, ValidationError
from rest_framework.generics import get_object_or_404

from core import conflicts
from organisations.access import Actor
from organisations.groups import services as groups
from organisations.invites import mail
from organisations.invites.models import Invite, InviteLink
from organisations.models import Organisation
from organisations.services import add_member
from users.models import FFAdminUser

LINKS_DISABLED = "Invite links are disabled."
ALREADY_INVITED = "Invite for email %s already exists"


class InviteExpiredError(APIException):
    status_code = 400
    default_detail = "Invite has expired"


def invite(organisation: Organisation, inviter: Actor, invites: Sequence[Mapping[str, Any]]) -> list[Invite]:
    """Create all of these invitations or none. Each has ``email``, and may have ``role`` and ``permission_groups``, the
    ids of groups.

    Their mails are sent after the commit.
    """
    invited_by = inviter if isinstance(inviter, FFAdminUser) else None
    rows = [
        Invite(organisation=organisation, invited_by=invited_by, **_columns(fields, ("email", "role")))
        for fields in invites
    ]
    with transaction.atomic():
        with conflicts.as_validation_error(
            "Another request is inviting one of these addresses at the same time.", "email"
        ):
            Invite.objects.bulk_create(rows)
        membership = Invite.permission_groups.through
        membership.objects.bulk_create(
            membership(invite=row, userpermissiongroup_id=group_id)
            for row, fields in zip(rows, invites, strict=True)
            for group_id in dict.fromkeys(fields.get("permission_groups") or ())
        )
        for row in rows:
            transaction.on_commit(partial(mail.send, row))
    return rows


def join_by_mail(user: FFAdminUser, secret: str) -> Organisation:
    """Accept an invitation by mail. Its secret can be used once, by the user with the invited address."""
    invitations = Invite.objects.select_for_update(of=("self",)).select_related("organisation__subscription")
    with transaction.atomic():
        invitation = get_object_or_404(invitations, hash=secret)
        if invitation.email.lower() != user.email.lower():
            raise ValidationError({"detail": "Registered email does not match invited email"})
        add_member(invitation.organisation, user, invitation.role)
        groups.add_users(invitation.permission_groups.all(), [user.pk])
        invitation.delete()
    return invitation.organisation


def join_by_link(user: FFAdminUser, secret: str) -> Organisation:
    """Join the organisation of an invite link."""
    if settings.DISABLE_INVITE_LINKS:
        raise PermissionDenied(LINKS_DISABLED)
    link = get_object_or_404(InviteLink.objects.select_related("organisation__subscription"), hash=secret)
    if link.has_expired:
        raise InviteExpiredError
    add_member(link.organisation, user, link.role)
    return link.organisation


def is_invited(secret: str | None, address: str, sign_up_type: str | None) -> bool:
    """True if there is an invitation with which the address may register.

    An invitation by mail is valid for its address, also without the secret. A link is valid for all who have its
    secret.
    """
    match sign_up_type:
        case FFAdminUser.SignUpType.INVITE_EMAIL:
            return Invite.objects.filter(email__iexact=address).exists()
        case FFAdminUser.SignUpType.INVITE_LINK if secret:
            link = InviteLink.objects.filter(hash=secret).first()
            return link is not None and not link.has_expired
    return False


def invited_addresses(organisation: Organisation, addresses: Iterable[str]) -> set[str]:
    """Those of these addresses that have a pending invitation, in lower case."""
    lower = {address.lower() for address in addresses}
    invited = organisation.invites.annotate(lower=Lower("email")).filter(lower__in=lower)
    return set(invited.values_list("lower", flat=True))


def _columns(fields: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: fields[name] for name in names if name in fields}
