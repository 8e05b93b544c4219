"""What the pages read of an environment's change requests."""

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
"""The lists that there are, as the API's queries have them: what is scheduled is committed as well."""


def requests_of(environment: Environment) -> QuerySet[ChangeRequest]:
    """With their authors, approvals and places, whatever their number."""
    approvals = ChangeRequestApproval.objects.select_related("user")
    changes = PlannedChange.objects.defer("content")
    requests = ChangeRequest.objects.filter(environment=environment).select_related("user")
    return requests.prefetch_related(Prefetch("approvals", approvals), Prefetch("changes", changes))


def numbers(requests: QuerySet[ChangeRequest]) -> dict[str, int]:
    """How many of them there are of each kind."""
    counted: dict[str, Any] = requests.order_by().aggregate(
        **{kind: Count("pk", filter=condition) if condition else Count("pk") for kind, condition in KINDS.items()}
    )
    return counted


def request_of(environment: Environment, pk: int) -> ChangeRequest | None:
    """One of them, with what its page shows but for its states."""
    request = requests_of(environment).select_related("committed_by").prefetch_related(None)
    approvals = ChangeRequestApproval.objects.select_related("user")
    found = request.prefetch_related(Prefetch("approvals", approvals), "changes").filter(pk=pk).first()
    if found is not None:
        found.environment = environment
    return found


def person(user: FFAdminUser | None) -> str:
    """How pages name somebody: the API's keys are nobody, and so is who has gone."""
    if user is None:
        return "An API key, or somebody who has left"
    return f"{user.first_name} {user.last_name}".strip() or user.email
