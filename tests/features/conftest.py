"""What the tests of features share: paths, makers of overrides, and an ear for events."""

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
from tests.features.whole import Flag


@pytest.fixture
def features(project: Project) -> str:
    return f"/api/v1/projects/{project.pk}/features/"


@pytest.fixture
def states(environment: Environment) -> str:
    """The endpoint with values as scalars."""
    return f"/api/v1/environments/{environment.api_key}/featurestates/"


@pytest.fixture
def overrides(environment: Environment, feature: Feature) -> str:
    """The endpoint that makes an override in one step."""
    return f"/api/v1/environments/{environment.api_key}/features/{feature.pk}/create-segment-override/"


@pytest.fixture
def make_segment(project: Project) -> Callable[[str], Segment]:
    return lambda name: Segment.objects.create(name=name, project=project)


@pytest.fixture
def make_override(environment: Environment, make_segment: Callable[[str], Segment]) -> Callable[..., FeatureSegment]:
    """Override a feature in ``environment``, for a segment of its own; ``live=False`` leaves the state out."""

    def make(feature: Feature, name: str, priority: int, live: bool = True) -> FeatureSegment:
        place = FeatureSegment.objects.create(
            feature=feature, environment=environment, segment=make_segment(name), priority=priority
        )
        if live:
            state = FeatureState.objects.create(
                feature=feature, environment=environment, feature_segment=place, enabled=True
            )
            FeatureStateValue.objects.create(feature_state=state, string_value=name)
        return place

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
    """The API keys of the environments that events went out for. Only commits make events."""
    heard: list[str] = []
    prefix = len(channel(EnvironmentKey("")))
    monkeypatch.setattr(
        "realtime.bus.eventstream.send_event", lambda name, *args, **kwargs: heard.append(name[prefix:])
    )
    return heard


@pytest.fixture
def permit(member_user: Any, project: Project) -> Callable[..., None]:
    """Give the member keys in the project, or in an environment of it."""

    def give(*keys: str, environment: Environment | None = None) -> None:
        scope: Any = project if environment is None else environment
        scope.userpermission.get_or_create(user=member_user)[0].permissions.add(*keys)

    return give


@pytest.fixture
def flag(admin: APIClient, environment: Environment, feature: Feature) -> Flag:
    return Flag(admin, environment, feature)


@pytest.fixture
def logged(environment: Environment) -> Callable[[], list[str]]:
    """What the log says of the environment since the last look."""
    seen = AuditLog.objects.filter(environment=environment)

    def since() -> list[str]:
        entries = [entry.log for entry in seen.order_by("id")]
        seen.delete()
        return entries

    return since
