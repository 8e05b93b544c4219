"""Flag changes of one transaction, collected for webhooks: the changed states as they were before.

At the end of the transaction ``webhooks.outbox`` reads the current states and compares. So a change that was undone
within the transaction (by a savepoint, or by hand) is not delivered, and a change of several rows is delivered once.

Only requests and the scheduler collect changes. Changes made in a shell or a migration are not delivered, as in
Flagsmith. Without webhooks this costs one query for each transaction that changes flags.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet

from core.changes import collected
from environments.models import Environment, Webhook
from features.changes import StateKey
from features.models import FeatureState
from organisations.models import OrganisationWebhook
from webhooks import payloads
from webhooks.payloads import State


class FlagChanges:
    """The flag changes of one transaction."""

    def __init__(self) -> None:
        self.before: dict[StateKey, State | None] = {}
        """The changed states as they were at the beginning of the transaction, by their keys; None: there was none."""
        self.audit_log_ids: list[int] = []
        """The primary keys of the audit log entries that the transaction has written."""
        self.webhook_owners: dict[int, tuple[bool, int | None]] = {}
        """By environment: True if the environment has webhooks, and its organisation's id if that has webhooks."""
        self._without_webhooks: set[int] = set()
        """Environments that have no webhooks, nor does their organisation."""

    def has_webhooks(self, environment_id: int) -> bool:
        """True if changes of this environment are delivered. One query looks up all environments of a project."""
        if environment_id not in self.webhook_owners and environment_id not in self._without_webhooks:
            self._look_up(Environment.objects.filter(pk=environment_id).values("project"))
            if environment_id not in self.webhook_owners:
                self._without_webhooks.add(environment_id)
        return environment_id in self.webhook_owners

    def environments_with_webhooks(self, project_id: int) -> list[int]:
        """The environments of a project whose changes are delivered."""
        return self._look_up([project_id])

    def record_current(self, keys: Iterable[StateKey]) -> None:
        """Record the current states of these keys. Call this before a change."""
        new = [key for key in keys if key not in self.before and self.has_webhooks(key.environment_id)]
        if new:
            states = payloads.read(states_of(new))
            self.before.update((key, states.get(key)) for key in new)

    def record_states(self, states: QuerySet[FeatureState]) -> None:
        """Record these states, all of environments with webhooks. Call this before they are deleted."""
        self.before = {**payloads.read(states), **self.before}

    def record_created(self, key: StateKey) -> None:
        """Record that the key has got a live state and had none before."""
        if key not in self.before and self.has_webhooks(key.environment_id):
            self.before[key] = None

    def record_previous(self, key: StateKey, undo: Callable[[State], None]) -> None:
        """Record a state of which a row was saved already: ``undo`` turns the current state into the previous one."""
        if key in self.before or not self.has_webhooks(key.environment_id):
            return
        state = payloads.read(states_of([key])).get(key)
        if state is not None:
            undo(state)
        self.before[key] = state

    def _look_up(self, projects: Any) -> list[int]:
        environments = []
        for pk, has_own, is_shared, organisation_id in _webhook_owners().filter(project__in=projects):
            if has_own or is_shared:
                self.webhook_owners[pk] = has_own, organisation_id if is_shared else None
                environments.append(pk)
            else:
                self._without_webhooks.add(pk)
        return environments

    @property
    def has_looked_up(self) -> bool:
        """True if any environment's webhooks were looked up."""
        return bool(self.webhook_owners or self._without_webhooks)

    @property
    def organisations(self) -> set[int]:
        """The organisations with webhooks, of the environments that were looked up."""
        return {organisation for _, organisation in self.webhook_owners.values() if organisation is not None}


@cache
def _webhook_owners() -> QuerySet[Any, Any]:
    """Environments with what ``FlagChanges.webhook_owners`` holds. Built once, since each write runs this query."""
    own = Webhook.objects.filter(environment=OuterRef("pk"), enabled=True)
    shared = OrganisationWebhook.objects.filter(organisation=OuterRef("project__organisation"), enabled=True)
    environments = Environment.objects.annotate(own=Exists(own), shared=Exists(shared))
    return environments.values_list("pk", "own", "shared", "project__organisation")


def current() -> FlagChanges | None:
    """The changes of the current transaction; None if they are not collected."""
    receivers = collected()
    if receivers is None or settings.DISABLE_WEBHOOKS:
        return None
    changes: FlagChanges = receivers.setdefault(__name__, FlagChanges())
    return changes


def states_of(keys: Iterable[StateKey]) -> QuerySet[FeatureState]:
    """The states of these keys, drafts included. The query may also find states of other keys."""
    keys = list(keys)
    of_identities = Q()
    if any(key.identity_id is None for key in keys):
        of_identities |= Q(identity=None)
    if identities := {key.identity_id for key in keys if key.identity_id is not None}:
        of_identities |= Q(identity__in=identities)
    return FeatureState.objects.filter(
        of_identities,
        environment__in={key.environment_id for key in keys},
        feature__in={key.feature_id for key in keys},
    )
