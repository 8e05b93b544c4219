"""Progress of a change request: state, approvals and history."""

from dataclasses import dataclass
from datetime import datetime

from dashboard.change_requests.queries import display_name
from features.workflows.core.models import ChangeRequest


@dataclass(frozen=True)
class Progress:
    """A state with its label. ``kind`` is a CSS class of ``.state``: "", "on", "warn" or "bad"."""

    text: str
    kind: str = ""
    goes_live_at: datetime | None = None
    """When the next scheduled state goes live; None if none is scheduled."""


def progress_of(request: ChangeRequest) -> Progress:
    if request.failed_at is not None:
        return Progress("Could not go live", "bad")
    if request.is_committed:
        if request.due_at is not None:
            return Progress("Scheduled", "warn", request.due_at)
        return Progress("Live", "on")
    missing = missing_approvals(request)
    if missing:
        return Progress(f"Waits for {missing} approval{'s' if missing > 1 else ''}")
    return Progress("Ready to commit", "on")


def given_approvals(request: ChangeRequest) -> int:
    return sum(approval.approved_at is not None for approval in request.approvals.all())


def missing_approvals(request: ChangeRequest) -> int:
    return max(0, (request.required_approvals or 0) - given_approvals(request))


def planned_for(request: ChangeRequest) -> datetime | None:
    """The earliest time at which a change of an uncommitted request goes live; None: with the commit."""
    return min((each.live_from for each in request.all_changes if each.live_from is not None), default=None)


@dataclass(frozen=True)
class Step:
    at: datetime
    text: str
    detail: str = ""


def history_of(request: ChangeRequest) -> list[Step]:
    """The steps so far, newest first."""
    steps = [Step(request.created_at, f"Proposed by {display_name(request.user)}")]
    for approval in request.approvals.all():
        if approval.approved_at is not None:
            steps.append(Step(approval.approved_at, f"Approved by {display_name(approval.user)}"))
    if request.committed_at is not None:
        steps.append(Step(request.committed_at, f"Committed by {display_name(request.committed_by)}"))
    went_live: dict[datetime, list[str]] = {}
    for change in request.all_changes:
        if change.live_at is not None:
            went_live.setdefault(change.live_at, []).append(str(change))
    for at, targets in went_live.items():
        steps.append(Step(at, "Went live", ", ".join(targets)))
    if request.failed_at is not None:
        steps.append(Step(request.failed_at, "Could not go live", request.failure or ""))
    # The sort is stable: of two steps with the same time, the commit stays before the change that it made live.
    return sorted(steps, key=lambda step: step.at)[::-1]
