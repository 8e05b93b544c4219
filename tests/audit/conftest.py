"""Fixtures of the audit log's tests: new entries, and objects whose changes are logged."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from api_keys.models import MasterAPIKey
from environments.identities.models import Identity
from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from organisations.models import Organisation
from segments.models import Segment

Entries = list[dict[str, Any]]


@pytest.fixture
def new_entries(admin: APIClient, organisation: Organisation) -> Callable[[], Entries]:
    """Returns the organisation's entries since its previous call with all details, the oldest first."""
    path = f"/api/v1/organisations/{organisation.pk}/audit/"
    returned: set[int] = set()

    def read() -> Entries:
        new = [entry["id"] for entry in admin.get(path).json()["results"] if entry["id"] not in returned]
        returned.update(new)
        return [admin.get(f"{path}{pk}/").json() for pk in reversed(new)]

    return read


@pytest.fixture
def script(organisation: Organisation) -> APIClient:
    """A client with a master API key."""
    client = APIClient()
    _, secret = MasterAPIKey.objects.create_key(name="ci", organisation=organisation)
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {secret}")
    return client


@pytest.fixture
def new_texts(new_entries: Callable[[], Entries]) -> Callable[[], list[str]]:
    """Returns the texts of the entries since its previous call, the oldest first."""
    return lambda: [entry["log"] for entry in new_entries()]


@pytest.fixture
def project_path(environment: Environment) -> str:
    return f"/api/v1/projects/{environment.project_id}/"


@pytest.fixture
def environment_path(environment: Environment) -> str:
    return f"/api/v1/environments/{environment.api_key}/"


@pytest.fixture
def make_override(environment: Environment, feature: Feature) -> Callable[..., FeatureState]:
    """Creates an override of ``feature`` for a segment: enabled, with the segment's name as the value."""

    def make(segment: Segment, priority: int = 0, **fields: Any) -> FeatureState:
        feature_segment = FeatureSegment.objects.create(
            feature=feature, environment=environment, segment=segment, priority=priority
        )
        fields = {"feature": feature, "environment": environment, "enabled": True, **fields}
        state = FeatureState.objects.create(feature_segment=feature_segment, **fields)
        FeatureStateValue.objects.create(feature_state=state, string_value=segment.name)
        return state

    return make


@pytest.fixture
def identity(environment: Environment) -> Identity:
    return Identity.objects.create(environment=environment, identifier="u1")


@pytest.fixture
def queries() -> Callable[[Callable[[], object]], int]:
    """Returns the number of queries that a call makes."""

    def count(call: Callable[[], object]) -> int:
        with CaptureQueriesContext(connection) as captured:
            call()
        return len(captured)

    return count
