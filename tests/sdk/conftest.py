"""Test clients with the keys of ``environment``."""

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from environments.models import Environment, EnvironmentAPIKey
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from segments.models import Segment

KEY_HEADER = "X-Environment-Key"


def application(key: str) -> APIClient:
    """A test client that sends this key, and JSON bodies."""
    client = APIClient(headers={KEY_HEADER: key})
    client.default_format = "json"
    return client


@pytest.fixture
def sdk(environment: Environment) -> APIClient:
    return application(environment.api_key)


@pytest.fixture
def server_key(environment: Environment) -> EnvironmentAPIKey:
    return EnvironmentAPIKey.objects.create(environment=environment, name="server")


@pytest.fixture
def server(server_key: EnvironmentAPIKey) -> APIClient:
    return application(server_key.key)


@pytest.fixture
def override(environment: Environment) -> Callable[..., FeatureState]:
    """Create an override of a feature for a segment or an identity."""

    def make(feature: Feature, value: object, segment: Segment | None = None, **fields: object) -> FeatureState:
        if segment is not None:
            priority = fields.pop("priority", 0)
            fields["feature_segment"] = FeatureSegment.objects.create(
                feature=feature, segment=segment, environment=environment, priority=priority
            )
        state = FeatureState.objects.create(
            **{"feature": feature, "environment": environment, "enabled": True, **fields}
        )
        state_value = FeatureStateValue(feature_state=state)
        state_value.value = value
        state_value.save()
        return state

    return make
