"""What has become of a change request so far, as the request itself knows it: for everybody who may see it."""

from dataclasses import dataclass
from datetime import datetime

from dashboard.change_requests.reading import person
from features.workflows.core.models import ChangeRequest


@dataclass(frozen=True)
class Step:
    at: datetime
    text: str
    detail: str = ""


def history_of(request: ChangeRequest) -> list[Step]:
    """The newest first."""
    steps = [Step(request.created_at, f"Proposed by {person(request.user)}")]
    for approval in request.approvals.all():
        if approval.approved_at is not None:
            steps.append(Step(approval.approved_at, f"Approved by {person(approval.user)}"))
    if request.committed_at is not None:
        steps.append(Step(request.committed_at, f"Committed by {person(request.committed_by)}"))
    went_live: dict[datetime, list[str]] = {}
    for change in request.changes.all():
        if change.live_at is not None:
            went_live.setdefault(change.live_at, []).append(str(change))
    for at, places in went_live.items():
        steps.append(Step(at, "Went live", ", ".join(places)))
    if request.failed_at is not None:
        steps.append(Step(request.failed_at, "Could not go live", request.failure or ""))
    # What happened at the same moment keeps its order: a commit comes before what it made live.
    return sorted(steps, key=lambda step: step.at)[::-1]
