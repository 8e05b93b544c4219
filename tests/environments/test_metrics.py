"""``metrics/``: counts of an environment's features, overrides and change requests."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature

pytestmark = pytest.mark.django_db

FLAGS = [
    {"value": 1, "description": "Total features", "name": "total_features", "entity": "features", "rank": 1},
    {"value": 0, "description": "Features enabled", "name": "enabled_features", "entity": "features", "rank": 2},
    {"value": 0, "description": "Segment overrides", "name": "segment_overrides", "entity": "segments", "rank": 3},
    {"value": 0, "description": "Identity overrides", "name": "identity_overrides", "entity": "identities", "rank": 4},
]


def workflow(open_requests: int, scheduled: int) -> list[dict[str, Any]]:
    return [
        {
            "value": open_requests,
            "description": "Open change requests",
            "name": "open_change_requests",
            "entity": "workflows",
            "rank": 5,
        },
        {
            "value": scheduled,
            "description": "Scheduled changes",
            "name": "total_scheduled_changes",
            "entity": "workflows",
            "rank": 6,
        },
    ]


def test_metrics__change_requests_enabled__open_and_scheduled_ones_counted(
    admin: APIClient, environment: Environment, production: Environment, feature: Feature
) -> None:
    path = f"/api/v1/environments/{environment.api_key}/"

    def add_request(live_from: str | None = None, *, environment_path: str = path, commit: bool = False) -> None:
        state = {"feature": feature.pk, "enabled": True, "live_from": live_from}
        body = {"title": "t", "feature_states": [state]}
        created = admin.post(f"{environment_path}create-change-request/", body, format="json").json()
        if commit:
            admin.post(f"/api/v1/features/workflows/change-requests/{created['id']}/commit/")

    assert admin.get(f"{path}metrics/").json() == {"metrics": FLAGS}
    assert admin.patch(path, {"minimum_change_request_approvals": 0}, format="json").status_code == 200
    assert admin.get(f"{path}metrics/").json() == {"metrics": FLAGS + workflow(0, 0)}

    add_request()
    add_request("2100-01-01T00:00:00Z")
    add_request("2100-01-01T00:00:00Z", commit=True)
    add_request(environment_path=f"/api/v1/environments/{production.api_key}/")
    assert admin.get(f"{path}metrics/").json()["metrics"][4:] == workflow(2, 1)
    # A request that is live is not counted.
    with CaptureQueriesContext(connection) as before:
        admin.get(f"{path}metrics/")
    add_request(commit=True)
    with CaptureQueriesContext(connection) as after:
        assert admin.get(f"{path}metrics/").json()["metrics"][4:] == workflow(2, 1)
    assert len(before) == len(after)
