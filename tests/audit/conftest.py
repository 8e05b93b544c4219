"""What the tests of the log share: an ear for new entries, and makers of what is logged."""

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
def logged(admin: APIClient, organisation: Organisation) -> Callable[[], Entries]:
    """The organisation's entries since the last call, whole and the oldest first."""
    path = f"/api/v1/organisations/{organisation.pk}/audit/"
    seen: set[int] = set()

    def since() -> Entries:
        new = [entry["id"] for entry in admin.get(path).json()["results"] if entry["id"] not in seen]
        seen.update(new)
        return [admin.get(f"{path}{pk}/").json() for pk in reversed(new)]

    return since


@pytest.fixture
def script(organisation: Organisation) -> APIClient:
    """Calls with a master API key."""
    client = APIClient()
    _, secret = MasterAPIKey.objects.create_key(name="ci", organisation=organisation)
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {secret}")
    return client


@pytest.fixture
def texts(logged: Callable[[], Entries]) -> Callable[[], list[str]]:
    """What the entries since the last call say, the oldest first."""
    return lambda: [entry["log"] for entry in logged()]


@pytest.fixture
def of_project(environment: Environment) -> str:
    return f"/api/v1/projects/{environment.project_id}/"


@pytest.fixture
def of_environment(environment: Environment) -> str:
    return f"/api/v1/environments/{environment.api_key}/"


@pytest.fixture
def make_override(environment: Environment, feature: Feature) -> Callable[..., FeatureState]:
    """Override ``feature`` for a segment, on and with its name as the value."""

    def make(segment: Segment, priority: int = 0, **fields: Any) -> FeatureState:
        place = FeatureSegment.objects.create(
            feature=feature, environment=environment, segment=segment, priority=priority
        )
        fields = {"feature": feature, "environment": environment, "enabled": True, **fields}
        state = FeatureState.objects.create(feature_segment=place, **fields)
        FeatureStateValue.objects.create(feature_state=state, string_value=segment.name)
        return state

    return make


@pytest.fixture
def identity(environment: Environment) -> Identity:
    return Identity.objects.create(environment=environment, identifier="u1")


@pytest.fixture
def queries() -> Callable[[Callable[[], object]], int]:
    """How many queries a call makes."""

    def count(call: Callable[[], object]) -> int:
        with CaptureQueriesContext(connection) as captured:
            call()
        return len(captured)

    return count
