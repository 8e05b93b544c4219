"""``metrics/``: what an environment comes to, in numbers."""

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


def test_metrics__change_requests_on__open_and_scheduled_ones_are_counted(
    admin: APIClient, environment: Environment, production: Environment, feature: Feature
) -> None:
    path = f"/api/v1/environments/{environment.api_key}/"

    def request(live_from: str | None = None, *, at: str = path, commit: bool = False) -> None:
        state = {"feature": feature.pk, "enabled": True, "live_from": live_from}
        made = admin.post(
            f"{at}create-change-request/", {"title": "t", "feature_states": [state]}, format="json"
        ).json()
        if commit:
            admin.post(f"/api/v1/features/workflows/change-requests/{made['id']}/commit/")

    assert admin.get(f"{path}metrics/").json() == {"metrics": FLAGS}
    assert admin.patch(path, {"minimum_change_request_approvals": 0}, format="json").status_code == 200
    assert admin.get(f"{path}metrics/").json() == {"metrics": FLAGS + workflow(0, 0)}

    request()
    request("2100-01-01T00:00:00Z")
    request("2100-01-01T00:00:00Z", commit=True)
    request(at=f"/api/v1/environments/{production.api_key}/")
    assert admin.get(f"{path}metrics/").json()["metrics"][4:] == workflow(2, 1)
    # What is live is nothing any more that waits.
    with CaptureQueriesContext(connection) as few:
        admin.get(f"{path}metrics/")
    request(commit=True)
    with CaptureQueriesContext(connection) as many:
        assert admin.get(f"{path}metrics/").json()["metrics"][4:] == workflow(2, 1)
    assert len(few) == len(many)
