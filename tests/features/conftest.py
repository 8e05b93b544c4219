"""Fixtures for tests of features: paths, override factories, and recorders of events and audit log entries."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from audit.models import AuditLog
from environments.identities.models import Identity
from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from projects.models import Project
from realtime.bus.eventstream import channel
from realtime.types import EnvironmentKey
from segments.models import Segment
from tests.features.flag import Flag


@pytest.fixture
def features(project: Project) -> str:
    return f"/api/v1/projects/{project.pk}/features/"


@pytest.fixture
def states(environment: Environment) -> str:
    """The endpoint of environment feature states, whose values are scalars."""
    return f"/api/v1/environments/{environment.api_key}/featurestates/"


@pytest.fixture
def overrides(environment: Environment, feature: Feature) -> str:
    """The endpoint that creates a segment override in one request."""
    return f"/api/v1/environments/{environment.api_key}/features/{feature.pk}/create-segment-override/"


@pytest.fixture
def make_segment(project: Project) -> Callable[[str], Segment]:
    return lambda name: Segment.objects.create(name=name, project=project)


@pytest.fixture
def make_override(environment: Environment, make_segment: Callable[[str], Segment]) -> Callable[..., FeatureSegment]:
    """Create an override of a feature in ``environment`` for a new segment; with ``live=False`` without a state."""

    def make(feature: Feature, name: str, priority: int, live: bool = True) -> FeatureSegment:
        feature_segment = FeatureSegment.objects.create(
            feature=feature, environment=environment, segment=make_segment(name), priority=priority
        )
        if live:
            state = FeatureState.objects.create(
                feature=feature, environment=environment, feature_segment=feature_segment, enabled=True
            )
            FeatureStateValue.objects.create(feature_state=state, string_value=name)
        return feature_segment

    return make


@pytest.fixture
def make_identity_override(environment: Environment) -> Callable[..., FeatureState]:
    def make(feature: Feature, identifier: str) -> FeatureState:
        identity, _ = Identity.objects.get_or_create(environment=environment, identifier=identifier)
        state = FeatureState.objects.create(feature=feature, environment=environment, identity=identity, enabled=True)
        FeatureStateValue.objects.create(feature_state=state, string_value=identifier)
        return state

    return make


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """API keys of the environments of published events. Events are published on commit."""
    keys: list[str] = []
    prefix = len(channel(EnvironmentKey("")))
    monkeypatch.setattr("realtime.bus.eventstream.send_event", lambda name, *args, **kwargs: keys.append(name[prefix:]))
    return keys


@pytest.fixture
def permit(member_user: Any, project: Project) -> Callable[..., None]:
    """Grant permissions to the member in the project or in an environment."""

    def give(*keys: str, environment: Environment | None = None) -> None:
        scope: Any = project if environment is None else environment
        scope.userpermission.get_or_create(user=member_user)[0].permissions.add(*keys)

    return give


@pytest.fixture
def flag(admin: APIClient, environment: Environment, feature: Feature) -> Flag:
    return Flag(admin, environment, feature)


@pytest.fixture
def logged(environment: Environment) -> Callable[[], list[str]]:
    """Audit log messages of the environment since the previous call."""
    entries = AuditLog.objects.filter(environment=environment)

    def since() -> list[str]:
        messages = [entry.log for entry in entries.order_by("id")]
        entries.delete()
        return messages

    return since
