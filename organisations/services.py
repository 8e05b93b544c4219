"""Organisations come and go, and so do their members."""

from collections.abc import Iterable
from typing import Any

from django.db import transaction

from core.locks import keep_out_identities
from environments.models import Environment, UserEnvironmentPermission
from organisations.models import (
    Organisation,
    OrganisationRole,
    Subscription,
    UserOrganisation,
    UserOrganisationPermission,
)
from projects.models import Project, UserProjectPermission
from realtime import versions
from users.models import FFAdminUser


def create_organisation(admin: FFAdminUser, **fields: Any) -> Organisation:
    """An organisation with its first admin, subscribed to ``DEFAULT_SUBSCRIPTION_PLAN``."""
    with transaction.atomic():
        organisation = Organisation.objects.create(**fields)
        Subscription.objects.create(organisation=organisation)
        UserOrganisation.objects.create(user=admin, organisation=organisation, role=OrganisationRole.ADMIN)
    return organisation


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
        Organisation.objects.filter(pk__in=ids).delete()


def remove_members(organisation: Organisation, user_ids: list[int]) -> None:
    """End these users' memberships, and take from them whatever they may do in the organisation."""
    theirs = {"user__in": user_ids}
    with transaction.atomic():
        UserEnvironmentPermission.objects.filter(environment__project__organisation=organisation, **theirs).delete()
        UserProjectPermission.objects.filter(project__organisation=organisation, **theirs).delete()
        UserOrganisationPermission.objects.filter(organisation=organisation, **theirs).delete()
        UserOrganisation.objects.filter(organisation=organisation, **theirs).delete()
