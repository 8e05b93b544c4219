"""Webhook payloads in Flagsmith's format."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from features.changes import StateKey
from features.models import FeatureState
from segments.models import Segment
from webhooks.models import EventType

State = dict[str, Any]
"""A feature state in a payload: values of JSON types."""


def read(states: QuerySet[FeatureState]) -> dict[StateKey, State]:
    """The live ones of these states, by their keys. At most three queries."""
    rows = (
        states.filter(version__isnull=False)
        .select_related(
            "feature__project", "environment", "identity", "feature_segment__segment", "feature_state_value"
        )
        .prefetch_related("multivariate_feature_state_values__multivariate_feature_option")
        .order_by("pk")
    )
    return {StateKey.of(state): _state(state) for state in rows}


def body(event_type: EventType, data: Any) -> str:
    """The body of a request. Its keys are sorted, as in Flagsmith."""
    return json.dumps({"event_type": event_type.value, "data": data}, sort_keys=True)


def change(before: State | None, after: State | None, changed_by: str) -> tuple[EventType, dict[str, Any]] | None:
    """The event of a state's change; None if nothing has changed that webhooks receive."""
    origin = {"changed_by": changed_by, "timestamp": timestamp(timezone.now())}
    if after is None and before is None:
        return None
    if after is None:
        return EventType.FLAG_DELETED, {**origin, "new_state": None, "previous_state": before}
    if before is None:
        return EventType.FLAG_UPDATED, {**origin, "new_state": after}
    if _compared(before) == _compared(after):
        return None
    return EventType.FLAG_UPDATED, {**origin, "new_state": after, "previous_state": before}


def timestamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def segment(row: Segment) -> dict[str, Any]:
    return {"id": row.pk, "name": row.name, "description": row.description}


def shares(rows: Iterable[Any]) -> list[dict[str, Any]]:
    return [
        {
            "id": share.pk,
            "multivariate_feature_option": {
                "id": share.multivariate_feature_option_id,
                "value": share.multivariate_feature_option.value,
            },
            "percentage_allocation": share.percentage_allocation,
        }
        for share in sorted(rows, key=lambda share: share.pk)
    ]


def _state(state: FeatureState) -> State:
    feature, override, identity = state.feature, state.feature_segment, state.identity
    value = getattr(state, "feature_state_value", None)
    return {
        "feature": {
            "id": feature.pk,
            "created_date": timestamp(feature.created_date),
            "default_enabled": feature.default_enabled,
            "description": feature.description,
            "initial_value": feature.initial_value,
            "name": feature.name,
            "project": {"id": feature.project_id, "name": feature.project.name},
            "type": feature.type,
        },
        "environment": {"id": state.environment_id, "name": state.environment.name},
        "identity": state.identity_id,
        "identity_identifier": identity.identifier if identity is not None else None,
        "feature_segment": (
            {"segment": segment(override.segment), "priority": override.priority} if override is not None else None
        ),
        "enabled": state.enabled,
        "feature_state_value": value.value if value is not None else None,
        "multivariate_feature_state_values": shares(state.multivariate_feature_state_values.all()),
    }


def _compared(state: State) -> Any:
    """The parts of a state whose change is an event. Not among them: the feature's name, an override's priority, and
    the ids of shares, whose rows may be replaced by equal ones."""
    value, override = state["feature_state_value"], state["feature_segment"]
    return (
        state["enabled"],
        type(value),
        value,
        override and override["segment"]["id"],
        {
            share["multivariate_feature_option"]["id"]: share["percentage_allocation"]
            for share in state["multivariate_feature_state_values"]
        },
    )
