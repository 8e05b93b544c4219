"""Queries for an environment's change requests."""

from typing import Any

from django.db.models import Count, Prefetch, Q, QuerySet

from environments.models import Environment
from features.workflows.core.models import ChangeRequest, ChangeRequestApproval, PlannedChange
from users.models import FFAdminUser

OPEN, SCHEDULED, COMMITTED, ALL = "open", "scheduled", "committed", "all"

KINDS = {
    OPEN: Q(committed_at=None),
    SCHEDULED: Q(committed_at__isnull=False, due_at__isnull=False),
    COMMITTED: Q(committed_at__isnull=False),
    ALL: Q(),
}
"""Conditions of the lists, equal to the API's: scheduled requests are committed too."""


def requests_of(environment: Environment) -> QuerySet[ChangeRequest]:
    """The requests with authors, approvals and planned changes, in a constant number of queries."""
    approvals = ChangeRequestApproval.objects.select_related("user")
    changes = PlannedChange.objects.defer("content")
    requests = ChangeRequest.objects.filter(environment=environment).select_related("user")
    return requests.prefetch_related(Prefetch("approvals", approvals), Prefetch("changes", changes), "change_sets")


def counts(requests: QuerySet[ChangeRequest]) -> dict[str, int]:
    """The number of requests of each kind."""
    counts_by_kind: dict[str, Any] = requests.order_by().aggregate(
        **{kind: Count("pk", filter=condition) if condition else Count("pk") for kind, condition in KINDS.items()}
    )
    return counts_by_kind


def request_of(environment: Environment, pk: int) -> ChangeRequest | None:
    """One request with the relations that its page shows, without feature states."""
    requests = requests_of(environment).select_related("committed_by").prefetch_related(None)
    approvals = ChangeRequestApproval.objects.select_related("user")
    found = requests.prefetch_related(Prefetch("approvals", approvals), "changes", "change_sets").filter(pk=pk).first()
    if found is not None:
        found.environment = environment
    return found


def display_name(user: FFAdminUser | None) -> str:
    """A user's name or e-mail address. None is an API key or a deleted user."""
    if user is None:
        return "An API key, or somebody who has left"
    return f"{user.first_name} {user.last_name}".strip() or user.email
