"""What webhooks are told, in Flagsmith's shapes."""

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
"""A feature state as webhooks see it: values that JSON has."""


def read(states: QuerySet[FeatureState]) -> dict[StateKey, State]:
    """Those of these states that are live, with three queries at most."""
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
    """A request's body. Its keys are sorted, as in Flagsmith."""
    return json.dumps({"event_type": event_type.value, "data": data}, sort_keys=True)


def change(before: State | None, after: State | None, changed_by: str) -> tuple[EventType, dict[str, Any]] | None:
    """What there is to say of a change at a place; None: nothing that webhooks are told of has changed there."""
    who = {"changed_by": changed_by, "timestamp": moment(timezone.now())}
    if after is None and before is None:
        return None
    if after is None:
        return EventType.FLAG_DELETED, {**who, "new_state": None, "previous_state": before}
    if before is None:
        return EventType.FLAG_UPDATED, {**who, "new_state": after}
    if _content(before) == _content(after):
        return None
    return EventType.FLAG_UPDATED, {**who, "new_state": after, "previous_state": before}


def moment(time: datetime) -> str:
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
    feature, place, identity = state.feature, state.feature_segment, state.identity
    value = getattr(state, "feature_state_value", None)
    return {
        "feature": {
            "id": feature.pk,
            "created_date": moment(feature.created_date),
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
            {"segment": segment(place.segment), "priority": place.priority} if place is not None else None
        ),
        "enabled": state.enabled,
        "feature_state_value": value.value if value is not None else None,
        "multivariate_feature_state_values": shares(state.multivariate_feature_state_values.all()),
    }


def _content(state: State) -> Any:
    """What counts as a change: not a feature's name, nor an override's place in the order, nor rows that were renewed
    with the same content."""
    value, place = state["feature_state_value"], state["feature_segment"]
    return (
        state["enabled"],
        type(value),
        value,
        place and place["segment"]["id"],
        {
            share["multivariate_feature_option"]["id"]: share["percentage_allocation"]
            for share in state["multivariate_feature_state_values"]
        },
    )
