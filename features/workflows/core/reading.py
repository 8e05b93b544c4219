"""Change requests read whole: with their approvals, their plan, and their states that are not live."""

from typing import Any

from django.db.models import Prefetch, QuerySet

from features.workflows.core import drafts
from features.workflows.core.contents import shown
from features.workflows.core.models import ChangeRequest


def whole() -> QuerySet[ChangeRequest]:
    """All of them, each with what its page shows; a constant number of queries."""
    waiting = Prefetch("feature_states", queryset=drafts.WHOLE.filter(version=None), to_attr="waiting_states")
    requests = ChangeRequest.objects.select_related("environment__project", "project")
    return requests.prefetch_related("approvals", "changes", waiting)


def states_of(request: ChangeRequest) -> list[dict[str, Any]]:
    """The states of a request that ``whole`` has read. What went live is shown as it was then, whatever it is now."""
    waiting = {state.pk: state for state in request.waiting_states}  # type: ignore[attr-defined]
    states = []
    for change in request.changes.all():
        if change.content is not None:
            states.append(change.content)
        elif change.feature_state_id in waiting:
            states.append(shown(waiting[change.feature_state_id]))
    return states
