"""What a transaction does to flags, collected while it runs: what was there before, by places.

At the end ``webhooks.outbox`` reads what is there by then, and the difference is what webhooks are told. So a change
that was undone on the way (a savepoint, or by hand) is none, and however many rows a change takes, it is told once.

Only requests and the scheduler collect. What a shell or a migration does nobody is told, as in Flagsmith. Where nobody
listens, all this takes a single query for each transaction that changes flags.
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


class Changes:
    """What one transaction does."""

    def __init__(self) -> None:
        self.before: dict[StateKey, State | None] = {}
        """The live states of the places that have changed, as they were at first; None: there was none."""
        self.listeners: dict[int, tuple[bool, int | None]] = {}
        """By environment: whether it has webhooks, and its organisation if that has any."""
        self.entries: list[int] = []
        """The primary keys of what was written into the audit log."""
        self._silent: set[int] = set()
        """Environments in which nobody listens."""

    def hears(self, environment_id: int) -> bool:
        """Whether anybody is to be told of this environment's changes. Asks once for all of a project."""
        if environment_id not in self.listeners and environment_id not in self._silent:
            self._ask(Environment.objects.filter(pk=environment_id).values("project"))
            if environment_id not in self.listeners:
                self._silent.add(environment_id)
        return environment_id in self.listeners

    def listening(self, project_id: int) -> list[int]:
        """The environments of a project of whose changes anybody is to be told."""
        return self._ask([project_id])

    def about_to_change(self, places: Iterable[StateKey]) -> None:
        """Keep what is there now."""
        new = [place for place in places if place not in self.before and self.hears(place.environment_id)]
        if new:
            states = payloads.read(at(new))
            self.before.update((place, states.get(place)) for place in new)

    def about_to_go(self, states: QuerySet[FeatureState]) -> None:
        """Keep these states. The caller knows that somebody listens."""
        self.before = {**payloads.read(states), **self.before}

    def was_not(self, place: StateKey) -> None:
        """A state is live now where none was."""
        if place not in self.before and self.hears(place.environment_id):
            self.before[place] = None

    def was(self, place: StateKey, patch: Callable[[State], None]) -> None:
        """A row was saved already: ``patch`` makes of what is there now what was there before."""
        if place in self.before or not self.hears(place.environment_id):
            return
        state = payloads.read(at([place])).get(place)
        if state is not None:
            patch(state)
        self.before[place] = state

    def _ask(self, projects: Any) -> list[int]:
        heard = []
        for pk, is_own, is_shared, organisation in _listeners().filter(project__in=projects):
            if is_own or is_shared:
                self.listeners[pk] = is_own, organisation if is_shared else None
                heard.append(pk)
            else:
                self._silent.add(pk)
        return heard

    @property
    def asked(self) -> bool:
        """Whether it is known already who listens."""
        return bool(self.listeners or self._silent)

    @property
    def organisations(self) -> set[int]:
        """Of those asked about, the ones that have webhooks."""
        return {organisation for _, organisation in self.listeners.values() if organisation is not None}


@cache
def _listeners() -> QuerySet[Any, Any]:
    """Put together once: it is asked with each write."""
    own = Webhook.objects.filter(environment=OuterRef("pk"), enabled=True)
    shared = OrganisationWebhook.objects.filter(organisation=OuterRef("project__organisation"), enabled=True)
    environments = Environment.objects.annotate(own=Exists(own), shared=Exists(shared))
    return environments.values_list("pk", "own", "shared", "project__organisation")


def current() -> Changes | None:
    """The changes of the present transaction; None where they are not collected."""
    kept = collected()
    if kept is None or settings.DISABLE_WEBHOOKS:
        return None
    changes: Changes = kept.setdefault(__name__, Changes())
    return changes


def at(places: Iterable[StateKey]) -> QuerySet[FeatureState]:
    """The states of these places, and perhaps some of places near by; drafts too."""
    places = list(places)
    whose = Q()
    if any(place.identity_id is None for place in places):
        whose |= Q(identity=None)
    if identities := {place.identity_id for place in places if place.identity_id is not None}:
        whose |= Q(identity__in=identities)
    return FeatureState.objects.filter(
        whose,
        environment__in={place.environment_id for place in places},
        feature__in={place.feature_id for place in places},
    )
