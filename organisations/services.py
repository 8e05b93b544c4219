"""Organisations come and go, and so do their members."""

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from rest_framework.exceptions import ValidationError

from core import conflicts
from core.locks import keep_out_identities
from environments.models import Environment, UserEnvironmentPermission
from organisations import plans
from organisations.groups.services import join_default_groups
from organisations.models import (
    Organisation,
    OrganisationRole,
    Subscription,
    UserOrganisation,
    UserOrganisationPermission,
)
from projects.models import Project, UserProjectPermission
from projects.services import empty as empty_projects
from realtime.changes import versions
from users.models import FFAdminUser, UserPermissionGroupMembership

ALREADY_MEMBER = "You are a member of this organisation already."


def create_organisation(admin: FFAdminUser, **fields: Any) -> Organisation:
    """An organisation with its first admin, subscribed to ``DEFAULT_SUBSCRIPTION_PLAN``."""
    with transaction.atomic():
        organisation = Organisation.objects.create(**fields)
        Subscription.objects.create(organisation=organisation)
        UserOrganisation.objects.create(user=admin, organisation=organisation, role=OrganisationRole.ADMIN)
    return organisation


def add_member(organisation: Organisation, user: FFAdminUser, role: str) -> None:
    """Make the user a member, and of the groups that all new members belong to.

    Raises NoSeatError where the plan has no room, and ValidationError for who is a member already.
    """
    with transaction.atomic():
        plans.require_seat(organisation)
        if UserOrganisation.objects.filter(user=user, organisation=organisation).exists():
            raise ValidationError({"detail": ALREADY_MEMBER})
        with conflicts.refused(ALREADY_MEMBER):
            UserOrganisation.objects.create(user=user, organisation=organisation, role=role)
        join_default_groups(organisation, user)


def delete_organisations(organisations: Iterable[Organisation]) -> None:
    """Delete organisations with everything in them.

    Locks first, in everybody's order (core/locks.py): whoever writes to one of the environments finishes before, or
    finds it gone.
    """
    ids = [organisation.pk for organisation in organisations]
    with transaction.atomic():
        projects = Project.objects.filter(organisation__in=ids).order_by("pk")
        list(projects.select_for_update(no_key=True).values_list("pk"))
        environments = Environment.objects.filter(project__organisation__in=ids).values_list("pk", flat=True)
        versions.lock(environments)
        keep_out_identities(environments)
        empty_projects(Project.objects.filter(organisation__in=ids))
        Organisation.objects.filter(pk__in=ids).delete()


def remove_members(organisation: Organisation, user_ids: list[int]) -> None:
    """End these users' memberships, of groups too, and take from them whatever they may do in the organisation."""
    theirs = {"user__in": user_ids}
    with transaction.atomic():
        UserEnvironmentPermission.objects.filter(environment__project__organisation=organisation, **theirs).delete()
        UserProjectPermission.objects.filter(project__organisation=organisation, **theirs).delete()
        UserOrganisationPermission.objects.filter(organisation=organisation, **theirs).delete()
        UserPermissionGroupMembership.objects.filter(
            userpermissiongroup__organisation=organisation, ffadminuser__in=user_ids
        ).delete()
        UserOrganisation.objects.filter(organisation=organisation, **theirs).delete()
