"""Sample payloads for ``webhooks/test/``."""

from typing import Any

from webhooks import payloads
from webhooks.models import EventType

FEATURE = {
    "id": 1,
    "created_date": "2026-01-01T12:00:00.000000Z",
    "default_enabled": False,
    "description": "An example, which is no feature of yours.",
    "initial_value": None,
    "name": "example_feature",
    "project": {"id": 1, "name": "Example project"},
    "type": "STANDARD",
}


def _state(enabled: bool, value: str) -> dict[str, Any]:
    return {
        "feature": FEATURE,
        "environment": {"id": 1, "name": "Example environment"},
        "identity": None,
        "identity_identifier": None,
        "feature_segment": None,
        "enabled": enabled,
        "feature_state_value": value,
        "multivariate_feature_state_values": [],
    }


FLAG_UPDATED = payloads.body(
    EventType.FLAG_UPDATED,
    {
        "changed_by": "somebody@example.com",
        "timestamp": "2026-01-01T12:00:00.000000Z",
        "new_state": _state(True, "new"),
        "previous_state": _state(False, "old"),
    },
)

AUDIT_LOG_CREATED = payloads.body(
    EventType.AUDIT_LOG_CREATED,
    {
        "id": 1,
        "created_date": "2026-01-01T12:00:00.000000Z",
        "log": "New Flag / Remote Config created: example_feature",
        "author": {"id": 1, "email": "somebody@example.com", "first_name": "Some", "last_name": "Body"},
        "environment": None,
        "project": {"id": 1, "name": "Example project"},
        "related_object_id": 1,
        "related_object_uuid": None,
        "related_object_type": "FEATURE",
        "is_system_event": False,
    },
)

SAMPLES = {"environment": FLAG_UPDATED, "organisation": AUDIT_LOG_CREATED}
