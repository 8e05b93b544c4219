"""Creation, cloning and deletion of environments, and deletion of traits."""

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

# The fields that a clone copies.
CLONED_FIELDS = (
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
"""Sent in the transaction that creates an environment. Argument: ``environment``. Receivers create its feature
states."""

cloned = Signal()
"""Sent in the transaction that clones an environment. Arguments: ``source``, ``clone``. Receivers copy the feature
states."""


def create_environment(actor: Actor, **fields: Any) -> Environment:
    """Create an environment with a state for each feature of the project. Only its own row's change is published."""
    with transaction.atomic():
        environment = _create(actor, **fields)
        created.send(sender=Environment, environment=environment)
    return environment


def clone_environment(actor: Actor, source: Environment, name: str) -> Environment:
    """Create an environment with the source's settings, defaults and segment overrides, but not its identities.

    About fifteen queries for any number of rows. (SQLite splits large inserts.)
    """
    with transaction.atomic():
        clone = _create(actor, name=name, **{field: getattr(source, field) for field in CLONED_FIELDS})
        cloned.send(sender=Environment, source=source, clone=clone)
    return clone


def delete_environment(environment: Environment) -> None:
    """Delete an environment with everything in it. The contents need no event, since the environment's streams end."""
    with transaction.atomic():
        block_identity_writes([environment.pk])
        empty(Environment.objects.filter(pk=environment.pk))
        environment.delete()


def empty(environments: QuerySet[Environment]) -> None:
    """Delete the rows of environments that are about to be deleted, as far as there may be any number of them.

    Without signals: a delete with signals would read each row and delete a hundred at a time, and no receiver needs
    them.
    """
    environment_ids = environments.order_by().values("pk")
    removal.empty(environments)
    for rows in (
        Trait.objects.filter(identity__environment__in=environment_ids),
        Identity.objects.filter(environment__in=environment_ids),
    ):
        rows._raw_delete(rows.db)


def delete_traits(environment: Environment, key: str) -> None:
    """Delete the traits with this key of all identities of the environment."""
    with transaction.atomic():
        block_identity_writes([environment.pk])
        Trait.objects.filter(identity__environment=environment, trait_key=key).delete()


def _create(actor: Actor, **fields: Any) -> Environment:
    environment = Environment.objects.create(**fields)
    if isinstance(actor, FFAdminUser):
        UserEnvironmentPermission.objects.create(user=actor, environment=environment, admin=True)
    return environment
