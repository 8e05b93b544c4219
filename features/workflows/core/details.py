"""Reads change requests with their approvals, planned changes and feature states, for detail responses."""

from typing import Any

from django.db.models import Prefetch, QuerySet

from features.workflows.core.contents import state_json
from features.workflows.core.drafts import STATES_WITH_CONTENT
from features.workflows.core.models import ChangeRequest


def detailed_requests() -> QuerySet[ChangeRequest]:
    """All change requests with prefetched details; a constant number of queries."""
    drafts = Prefetch("feature_states", queryset=STATES_WITH_CONTENT.filter(version=None), to_attr="draft_states")
    requests = ChangeRequest.objects.select_related("environment__project", "project")
    return requests.prefetch_related("approvals", "changes", "change_sets", drafts)


def feature_states_json(request: ChangeRequest) -> list[dict[str, Any]]:
    """The states of a request of ``detailed_requests``. Published states are shown as they went live."""
    drafts = {state.pk: state for state in request.draft_states}  # type: ignore[attr-defined]
    states = []
    for change in request.changes.all():
        if change.content is not None:
            states.append(change.content)
        elif change.feature_state_id in drafts:
            states.append(state_json(drafts[change.feature_state_id]))
    return states
