"""What making and cloning an environment takes beyond one save."""

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.dispatch import Signal

from core import removal
from core.locks import block_identity_writes
from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment, UserEnvironmentPermission
from organisations.access import Actor
from users.models import FFAdminUser

# What a clone has like its source.
SETTINGS = (
    "description",
    "project",
    "minimum_change_request_approvals",
    "allow_client_traits",
    "banner_text",
    "banner_colour",
    "hide_disabled_flags",
    "use_identity_composite_key_for_hashing",
    "hide_sensitive_data",
    "use_identity_overrides_in_local_eval",
)

created = Signal()
"""Sent in the transaction that creates an environment: ``environment``. Receivers give it its feature states."""

cloned = Signal()
"""Sent in the transaction that clones an environment: ``source``, ``clone``. Receivers copy its feature states."""


def create_environment(actor: Actor, **fields: Any) -> Environment:
    """An environment with a state for each of the project's features. Its own row announces it, and nothing else."""
    with transaction.atomic():
        environment = _create(actor, **fields)
        created.send(sender=Environment, environment=environment)
    return environment


def clone_environment(actor: Actor, source: Environment, name: str) -> Environment:
    """A new environment with the source's settings, defaults and segment overrides, but not its identities.

    Some fifteen queries, however much there is to copy. (SQLite splits large inserts.)
    """
    with transaction.atomic():
        clone = _create(actor, name=name, **{setting: getattr(source, setting) for setting in SETTINGS})
        cloned.send(sender=Environment, source=source, clone=clone)
    return clone


def delete_environment(environment: Environment) -> None:
    """Remove an environment with everything in it, for which nobody has to be told: its streams end."""
    with transaction.atomic():
        block_identity_writes([environment.pk])
        empty(Environment.objects.filter(pk=environment.pk))
        environment.delete()


def empty(environments: QuerySet[Environment]) -> None:
    """Remove what there may be any number of in environments that are about to go.

    Raw, since a delete that sends signals would read each row and remove a hundred at a time, only to find that nobody
    has to hear of it.
    """
    within = environments.order_by().values("pk")
    removal.empty(environments)
    for rows in (
        Trait.objects.filter(identity__environment__in=within),
        Identity.objects.filter(environment__in=within),
    ):
        rows._raw_delete(rows.db)


def delete_traits(environment: Environment, key: str) -> None:
    """Make all identities of the environment forget this trait."""
    with transaction.atomic():
        block_identity_writes([environment.pk])
        Trait.objects.filter(identity__environment=environment, trait_key=key).delete()


def _create(actor: Actor, **fields: Any) -> Environment:
    environment = Environment.objects.create(**fields)
    if isinstance(actor, FFAdminUser):
        UserEnvironmentPermission.objects.create(user=actor, environment=environment, admin=True)
    return environment
