"""Making the states of a change request live: all that are due in one transaction, or none of them.

A state becomes live by taking the place of the one that is live there, which goes. Nothing here waits for a moment:
what is served is a function of the database, and never of the clock. Callers hold the environment's lock.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import structlog
from django.db import transaction

from core import actor
from core.changes import report
from features.changes import AboutToChangeStates, ChangeRequestFailed, WentLive
from features.changes import Place as StatePlace
from features.models import Feature, FeatureState, FeatureType
from features.workflows.core import drafts
from features.workflows.core.contents import Place, shown
from features.workflows.core.models import ChangeRequest, PlannedChange
from realtime.changes import versions
from segments.models import Segment

logger = structlog.get_logger(__name__)

LIVE = FeatureState.objects.select_related("feature_segment")


class CannotGoLive(Exception):
    """Something that a request is to change is not there any more; its text says what."""


def publish(request: ChangeRequest, changes: Iterable[PlannedChange], now: datetime) -> None:
    """Make what is due of a committed request live, and set when the rest will be. ``changes`` are all of its.

    Raises CannotGoLive, before anything was changed, if any of what is not live yet has lost its place: then nothing
    of it may go live.
    """
    waiting = [change for change in changes if change.live_at is None]
    states = {state.pk: state for state in drafts.of(request).values()}
    present = drafts.live(request.environment_pk, (change.feature_id for change in waiting), LIVE)
    _check(waiting, states, present.values())
    due = [change for change in waiting if change.live_from is None or change.live_from <= now]
    if due:
        _replace(request, [(change, states[change.feature_state_id]) for change in due], present, now)
    if due or not waiting:
        request.applied_at = now
    later = [change.live_from for change in waiting if change.live_from is not None and change.live_from > now]
    request.due_at = min(later, default=None)
    request.save(update_fields=["committed_at", "committed_by", "due_at", "applied_at", "updated_at"])
    _log_when_committed(
        logger.info,
        "change_request_published",
        request,
        feature_states=len(due),
        due_at=request.due_at and request.due_at.isoformat(),
    )


def give_up(request: ChangeRequest, reason: str, now: datetime) -> None:
    """Note that the rest of a committed request cannot go live. It is not tried again."""
    request.due_at = None
    request.failed_at = now
    request.failure = reason
    request.save(update_fields=["due_at", "failed_at", "failure", "updated_at"])
    with actor.system(request):
        report(ChangeRequestFailed(request, reason))
    _log_when_committed(logger.warning, "change_request_failed", request, reason=reason)


def _log_when_committed(log: Callable[..., Any], event: str, request: ChangeRequest, **fields: Any) -> None:
    """What is undone has not happened."""
    fields = {"change_request": request.pk, "environment": request.environment_pk, **fields}
    transaction.on_commit(lambda: log(event, **fields))


def _check(waiting: list[PlannedChange], states: dict[int, FeatureState], present: Iterable[FeatureState]) -> None:
    overrides = {
        (state.feature_id, state.feature_segment.segment_id): state.feature_segment
        for state in present
        if state.feature_segment is not None
    }
    for change in waiting:
        state = states.get(change.feature_state_id)
        if state is None:
            raise CannotGoLive(_what_is_gone(change))
        place = state.feature_segment
        if place is None:
            continue
        if place.segment_id != change.segment_id:
            raise CannotGoLive(f"The override of {change} is another segment's now.")
        if overrides.get((state.feature_id, place.segment_id), place) != place:
            raise CannotGoLive(f"The override of {change} was made anew.")


def _what_is_gone(change: PlannedChange) -> str:
    if not Feature.objects.filter(pk=change.feature_id).exists():
        return f"The feature {change.feature_name} no longer exists."
    if change.segment_id is not None and not Segment.objects.filter(pk=change.segment_id).exists():
        return f"The segment {change.segment_name} no longer exists."
    return f"The override of {change} no longer exists."


def _replace(
    request: ChangeRequest,
    due: list[tuple[PlannedChange, FeatureState]],
    present: dict[Place, FeatureState],
    now: datetime,
) -> None:
    """Let these states take the places of the live ones. Written in bulk, so announced here, once, and first."""
    versions.announce([request.environment_pk])
    report(AboutToChangeStates(StatePlace.of(state) for _, state in due))
    replaced = []
    for change, state in due:
        old = present.get(Place(state.feature_id, state.feature_segment_id))
        state.version = 1
        state.live_from = change.live_from
        state.updated_at = now
        if old is not None:
            replaced.append(old.pk)
            state.version += old.version or 0
            if state.feature.type == FeatureType.MULTIVARIATE:
                state.mv_hashing_salt = old.mv_hashing_salt or old.pk
        change.live_at, change.content = now, shown(state)
    drafts.remove(replaced)
    FeatureState.objects.bulk_update(
        [state for _, state in due], ["version", "live_from", "updated_at", "mv_hashing_salt"]
    )
    PlannedChange.objects.bulk_update([change for change, _ in due], ["live_from", "live_at", "content"])
    with actor.system(request):
        report(WentLive(state for _, state in due))
