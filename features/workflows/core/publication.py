"""Publishes the feature states of committed change requests: all due states in one transaction, or none.

A published state replaces the live state of its target, whose row is deleted. What is served depends only on the
database, never on the time. Callers hold the environment's lock.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import structlog
from django.db import transaction

from core import actor
from core.changes import report
from features.changes import AboutToChangeStates, ChangeRequestFailed, StateKey, StateSnapshot, StatesPublished
from features.feature_states.services import remove_states
from features.models import Feature, FeatureState, FeatureType
from features.workflows.core.change_sets import apply_change_sets
from features.workflows.core.contents import Target, state_json
from features.workflows.core.drafts import read_drafts, read_live
from features.workflows.core.models import ChangeRequest, ChangeSet, PlannedChange
from realtime.changes import versions
from segments.models import Segment

logger = structlog.get_logger(__name__)


class CannotPublish(Exception):
    """A target of the change request no longer exists. The message names it."""


def publish(request: ChangeRequest, changes: Iterable[PlannedChange], now: datetime) -> None:
    """Publish the due states of a committed request, and set when the others are due.

    ``changes`` are all planned changes of the request. Raises CannotPublish, before any change, if the target of any
    unpublished state, or the feature of a change set, no longer exists. Change sets are applied after the states.
    """
    unpublished = [change for change in changes if change.live_at is None]
    states = {state.pk: state for state in read_drafts(request).values()}
    live = read_live(
        request.environment_pk,
        (change.feature_id for change in unpublished),
    )
    change_sets = [each for each in request.change_sets.all() if each.live_at is None]
    _check_targets(unpublished, states, live.values())
    _check_features(change_sets)
    due = [change for change in unpublished if change.live_from is None or change.live_from <= now]
    due_sets = [each for each in change_sets if each.live_from is None or each.live_from <= now]
    if due:
        _replace_live_states(request, [(change, states[change.feature_state_id]) for change in due], live, now)
    if due_sets:
        apply_change_sets(request, due_sets, now)
    if due or due_sets or not (unpublished or change_sets):
        request.applied_at = now
    times = [change.live_from for change in unpublished] + [each.live_from for each in change_sets]
    later = [live_from for live_from in times if live_from is not None and live_from > now]
    request.due_at = min(later, default=None)
    request.save(update_fields=["committed_at", "committed_by", "due_at", "applied_at", "updated_at"])
    _log_on_commit(
        logger.info,
        "change_request_published",
        request,
        feature_states=len(due),
        change_sets=len(due_sets),
        due_at=request.due_at and request.due_at.isoformat(),
    )


def mark_failed(request: ChangeRequest, reason: str, now: datetime) -> None:
    """Store and report that a committed request cannot be published. It is not retried."""
    request.due_at = None
    request.failed_at = now
    request.failure = reason
    request.save(update_fields=["due_at", "failed_at", "failure", "updated_at"])
    with actor.system(request):
        report(ChangeRequestFailed(request, reason))
    _log_on_commit(logger.warning, "change_request_failed", request, reason=reason)


def _log_on_commit(log: Callable[..., Any], event: str, request: ChangeRequest, **fields: Any) -> None:
    fields = {"change_request": request.pk, "environment": request.environment_pk, **fields}
    transaction.on_commit(lambda: log(event, **fields))


def _check_targets(
    unpublished: list[PlannedChange], states: dict[int, FeatureState], live: Iterable[FeatureState]
) -> None:
    live_overrides = {
        (state.feature_id, state.feature_segment.segment_id): state.feature_segment
        for state in live
        if state.feature_segment is not None
    }
    for change in unpublished:
        state = states.get(change.feature_state_id)
        if state is None:
            raise CannotPublish(_missing_target(change))
        feature_segment = state.feature_segment
        if feature_segment is None:
            continue
        if feature_segment.segment_id != change.segment_id:
            raise CannotPublish(f"The override of {change} now belongs to another segment.")
        if live_overrides.get((state.feature_id, feature_segment.segment_id), feature_segment) != feature_segment:
            raise CannotPublish(f"The override of {change} was deleted and created again.")


def _check_features(change_sets: list[ChangeSet]) -> None:
    names = {each.feature_id: each.feature_name for each in change_sets}
    existing = set(Feature.objects.filter(pk__in=names).values_list("pk", flat=True)) if names else set()
    for pk, name in names.items():
        if pk not in existing:
            raise CannotPublish(f"The feature {name} no longer exists.")


def _missing_target(change: PlannedChange) -> str:
    if not Feature.objects.filter(pk=change.feature_id).exists():
        return f"The feature {change.feature_name} no longer exists."
    if change.segment_id is not None and not Segment.objects.filter(pk=change.segment_id).exists():
        return f"The segment {change.segment_name} no longer exists."
    return f"The override of {change} no longer exists."


def _replace_live_states(
    request: ChangeRequest,
    due: list[tuple[PlannedChange, FeatureState]],
    live: dict[Target, FeatureState],
    now: datetime,
) -> None:
    """Replace the live states of the targets. Bulk writes, so the environment is announced here, before them."""
    versions.announce([request.environment_pk])
    report(AboutToChangeStates(StateKey.of(state) for _, state in due))
    replaced = []
    before = {}
    for change, state in due:
        old = live.get(Target.of(state))
        state.version = 1
        state.live_from = change.live_from
        state.updated_at = now
        if old is not None:
            replaced.append(old.pk)
            before[state.pk] = StateSnapshot.of(old)
            state.version += old.version or 0
            if state.feature.type == FeatureType.MULTIVARIATE:
                state.mv_hashing_salt = old.mv_hashing_salt or old.pk
        change.live_at, change.content = now, state_json(state)
    remove_states(FeatureState.objects.filter(pk__in=replaced))
    FeatureState.objects.bulk_update(
        [state for _, state in due], ["version", "live_from", "updated_at", "mv_hashing_salt"]
    )
    PlannedChange.objects.bulk_update([change for change, _ in due], ["live_from", "live_at", "content"])
    with actor.system(request):
        report(StatesPublished((state for _, state in due), before))
