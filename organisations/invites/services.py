"""Invitations are made, sent, and accepted."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

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


class InviteExpiredError(APIException):
    status_code = 400
    default_detail = "Invite has expired"


def exists(address: str) -> str:
    return f"Invite for email {address} already exists"


def invite(organisation: Organisation, inviter: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[Invite]:
    """Invite these people, all of them or none: ``email``, and optionally ``role`` and ``permission_groups`` by ids.

    Their mails go out once the invitations are stored.
    """
    invited_by = inviter if isinstance(inviter, FFAdminUser) else None
    rows = [
        Invite(organisation=organisation, invited_by=invited_by, **_columns(each, ("email", "role"))) for each in wanted
    ]
    with transaction.atomic():
        with conflicts.as_validation_error("Somebody else is inviting one of these people at this moment.", "email"):
            Invite.objects.bulk_create(rows)
        membership = Invite.permission_groups.through
        membership.objects.bulk_create(
            membership(invite=row, userpermissiongroup_id=group)
            for row, each in zip(rows, wanted, strict=True)
            for group in dict.fromkeys(each.get("permission_groups") or ())
        )
        for row in rows:
            transaction.on_commit(partial(mail.send, row))
    return rows


def accept(user: FFAdminUser, secret: str) -> Organisation:
    """Join by the secret of a mail, which is then used up."""
    invitations = Invite.objects.select_for_update(of=("self",)).select_related("organisation__subscription")
    with transaction.atomic():
        invitation = get_object_or_404(invitations, hash=secret)
        if invitation.email.lower() != user.email.lower():
            raise ValidationError({"detail": "Registered email does not match invited email"})
        add_member(invitation.organisation, user, invitation.role)
        groups.add_users(invitation.permission_groups.all(), [user.pk])
        invitation.delete()
    return invitation.organisation


def follow(user: FFAdminUser, secret: str, *, are_enabled: bool) -> Organisation:
    """Join by a link."""
    if not are_enabled:
        raise PermissionDenied(LINKS_DISABLED)
    link = get_object_or_404(InviteLink.objects.select_related("organisation__subscription"), hash=secret)
    if link.has_expired:
        raise InviteExpiredError
    add_member(link.organisation, user, link.role)
    return link.organisation


def lets_in(secret: str | None, address: str, sign_up_type: str | None) -> bool:
    """Whether somebody may register for an invitation's sake, where nobody may without one.

    One by mail counts for its address, whether the secret comes along or not; a link for whoever has it.
    """
    match sign_up_type:
        case FFAdminUser.SignUpType.INVITE_EMAIL:
            return Invite.objects.filter(email__iexact=address).exists()
        case FFAdminUser.SignUpType.INVITE_LINK if secret:
            link = InviteLink.objects.filter(hash=secret).first()
            return link is not None and not link.has_expired
    return False


def taken(organisation: Organisation, addresses: Iterable[str]) -> set[str]:
    """Those of these addresses, in lower case, that are invited already."""
    wanted = {address.lower() for address in addresses}
    invited = organisation.invites.annotate(lower=Lower("email")).filter(lower__in=wanted)
    return set(invited.values_list("lower", flat=True))


def _columns(each: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: each[name] for name in names if name in each}
