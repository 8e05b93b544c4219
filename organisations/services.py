"""Creation and deletion of organisations and memberships."""

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import Count
from django.dispatch import Signal
from rest_framework.exceptions import ValidationError

from core import conflicts, removal
from organisations import plans
from organisations.groups.services import join_default_groups
from organisations.models import (
    Organisation,
    OrganisationRole,
    Subscription,
    UserOrganisation,
    UserOrganisationPermission,
)
from users.models import FFAdminUser, UserPermissionGroupMembership

removing_members = Signal()
"""Sent in the transaction that ends memberships. Arguments: ``organisation``, ``user_ids``. Receivers delete the users'
permissions in projects and environments of the organisation."""

ALREADY_MEMBER = "You are a member of this organisation already."


def create_organisation(admin: FFAdminUser, **fields: Any) -> Organisation:
    """Create an organisation with its first admin and a subscription to ``DEFAULT_SUBSCRIPTION_PLAN``."""
    with transaction.atomic():
        organisation = Organisation.objects.create(**fields)
        Subscription.objects.create(organisation=organisation)
        UserOrganisation.objects.create(user=admin, organisation=organisation, role=OrganisationRole.ADMIN)
    return organisation


def add_member(organisation: Organisation, user: FFAdminUser, role: str) -> None:
    """Make the user a member of the organisation and of its default groups.

    Raises NoSeatError if the plan allows no further member, and ValidationError if the user is already a member.
    """
    with transaction.atomic():
        plans.require_seat(organisation)
        if UserOrganisation.objects.filter(user=user, organisation=organisation).exists():
            raise ValidationError({"detail": ALREADY_MEMBER})
        with conflicts.as_validation_error(ALREADY_MEMBER):
            UserOrganisation.objects.create(user=user, organisation=organisation, role=role)
        join_default_groups(organisation, user)


def delete_organisations(organisations: Iterable[Organisation]) -> None:
    """Delete organisations with everything in them."""
    rows = Organisation.objects.filter(pk__in=[organisation.pk for organisation in organisations])
    with transaction.atomic():
        removal.empty(rows)
        rows.delete()


def delete_orphans(user: FFAdminUser) -> None:
    """Delete the organisations whose only member is the user."""
    with_one_member = Organisation.objects.annotate(members=Count("userorganisation")).filter(members=1)
    delete_organisations(with_one_member.filter(pk__in=user.organisations.values("pk")))


def remove_members(organisation: Organisation, user_ids: list[int]) -> None:
    """Remove users from the organisation and its groups, and delete their permissions in it."""
    with transaction.atomic():
        removing_members.send(sender=None, organisation=organisation, user_ids=user_ids)
        UserOrganisationPermission.objects.filter(organisation=organisation, user__in=user_ids).delete()
        UserPermissionGroupMembership.objects.filter(
            userpermissiongroup__organisation=organisation, ffadminuser__in=user_ids
        ).delete()
        UserOrganisation.objects.filter(organisation=organisation, user__in=user_ids).delete()
