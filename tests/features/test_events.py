"""Events of writes to features: at most one per environment and request, and none if SDKs cannot read the change."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState
from features.multivariate.models import MultivariateFeatureOption
from segments.models import Segment

# Real commits: in a test's transaction the fixtures would already have announced the environments.
pytestmark = pytest.mark.django_db(transaction=True)

FEATURE_STATES = "/api/v1/features/featurestates/"
FEATURE_SEGMENTS = "/api/v1/features/feature-segments/"


@pytest.fixture
def events_of(admin: APIClient, events: list[str]) -> Callable[..., list[str]]:
    """Make a successful request; return the names of the environments with an event."""

    def call(method: str, path: str, body: Any = None) -> list[str]:
        events.clear()
        answer = getattr(admin, method)(path, body, "json")
        assert 200 <= answer.status_code < 300, answer.content
        names = dict(Environment.objects.values_list("api_key", "name"))
        return sorted(names[key] for key in events)

    return call


BOTH = ["Development", "Production"]
DEVELOPMENT = ["Development"]


def test_feature__each_write__one_event_if_sdks_can_read_it(
    events_of: Callable[..., list[str]], features: str, environment: Environment, production: Environment
) -> None:
    options = [{"string_value": "a", "default_percentage_allocation": 10}]
    assert events_of("post", features, {"name": "f", "multivariate_options": options}) == BOTH
    path = f"{features}{Feature.objects.get().pk}/"
    option = MultivariateFeatureOption.objects.values(
        "id", "type", "string_value", "default_percentage_allocation"
    ).get()
    assert events_of("patch", path, {"description": "new"}) == BOTH
    assert events_of("patch", path, {"description": "new", "name": "other", "initial_value": "x", "tags": []}) == []
    assert events_of("patch", path, {"multivariate_options": [option]}) == []
    assert events_of("patch", path, {"multivariate_options": [{**option, "integer_value": 7}]}) == []
    assert events_of("patch", path, {"multivariate_options": [{**option, "string_value": "b"}]}) == BOTH
    assert events_of("patch", path, {"multivariate_options": [option, options[0]], "description": "d"}) == BOTH
    assert events_of("patch", path, {"multivariate_options": []}) == BOTH
    assert events_of("delete", path) == BOTH


def test_option__each_write__one_event_if_sdks_can_read_it(
    events_of: Callable[..., list[str]],
    features: str,
    environment: Environment,
    production: Environment,
    make_feature: Callable[..., Feature],
) -> None:
    path = f"{features}{make_feature().pk}/mv-options/"
    assert events_of("post", path, {"string_value": "a", "default_percentage_allocation": 10}) == BOTH
    one = f"{path}{MultivariateFeatureOption.objects.get().pk}/"
    assert events_of("patch", one, {"string_value": "a"}) == []
    assert events_of("patch", one, {"string_value": "b"}) == BOTH
    assert events_of("patch", one, {"default_percentage_allocation": 20}) == BOTH
    assert events_of("delete", one) == BOTH


def test_default__changed__one_event_there(
    events_of: Callable[..., list[str]], states: str, state: FeatureState, production: Environment
) -> None:
    path = f"{states}{state.pk}/"
    option = MultivariateFeatureOption.objects.create(feature=state.feature, string_value="a")
    share = {"multivariate_feature_option": option.pk, "percentage_allocation": 10}
    whole = {"enabled": True, "feature_state_value": "x", "multivariate_feature_state_values": [share]}
    assert events_of("put", path, whole) == DEVELOPMENT
    assert events_of("put", path, whole) == []
    assert events_of("patch", path, {"enabled": True, "feature_state_value": "x"}) == []
    assert events_of("put", path, {"live_from": "2999-01-01T00:00:00Z"}) == []
    assert events_of("put", path, {"multivariate_feature_state_values": []}) == DEVELOPMENT
    fields = {"environment": state.environment_id, "feature": state.feature_id}
    assert (
        events_of("put", f"{FEATURE_STATES}{state.pk}/", {**fields, "feature_state_value": {"integer_value": 3}}) == []
    )
    assert (
        events_of("put", f"{FEATURE_STATES}{state.pk}/", {**fields, "feature_state_value": {"type": "int"}})
        == DEVELOPMENT
    )
    assert events_of("delete", path) == DEVELOPMENT
    assert events_of("post", states, {"feature": state.feature_id, "feature_state_value": 1}) == DEVELOPMENT


def test_override__created_in_two_requests__event_for_the_second(
    events_of: Callable[..., list[str]], state: FeatureState, segment: Segment, production: Environment
) -> None:
    fields = {"environment": state.environment_id, "feature": state.feature_id}
    assert events_of("post", FEATURE_SEGMENTS, {**fields, "segment": segment.pk}) == []
    feature_segment = FeatureSegment.objects.get().pk
    assert (
        events_of("post", FEATURE_STATES, {**fields, "feature_segment": feature_segment, "enabled": True})
        == DEVELOPMENT
    )
    assert events_of("delete", f"{FEATURE_SEGMENTS}{feature_segment}/") == DEVELOPMENT


def test_override__equal_to_the_default__no_event_but_a_new_revision(
    events_of: Callable[..., list[str]], overrides: str, state: FeatureState, segment: Segment, environment: Environment
) -> None:
    before = Environment.objects.get(pk=environment.pk)
    body = {"feature_segment": {"segment": segment.pk}, "feature_state_value": {"type": "unicode"}}
    assert events_of("post", overrides, body) == []
    after = Environment.objects.get(pk=environment.pk)
    assert after.updated_at == before.updated_at
    assert after.revision > before.revision


def test_priorities__changed__event_only_if_a_live_override_moves(
    events_of: Callable[..., list[str]],
    feature: Feature,
    environment: Environment,
    production: Environment,
    make_override: Callable[..., FeatureSegment],
    make_segment: Callable[[str], Segment],
) -> None:
    a, b = (make_override(feature, name, priority) for priority, name in enumerate("ab"))
    c, d = (make_override(feature, name, 2 + priority, live=False) for priority, name in enumerate("cd"))

    def reorder(**priorities: int) -> list[str]:
        feature_segments = {"a": a, "b": b, "c": c, "d": d}
        body = [{"id": feature_segments[name].pk, "priority": priority} for name, priority in priorities.items()]
        return events_of("post", f"{FEATURE_SEGMENTS}update-priorities/", body)

    assert reorder(a=0, b=1) == []
    assert reorder(a=1, b=0) == DEVELOPMENT
    assert reorder(a=1) == []
    assert reorder(d=2, c=3) == []
    assert reorder(d=0) == DEVELOPMENT
    # The order is d, b, a, c: deleting d moves b and a up; deleting c moves none.
    assert events_of("delete", f"{FEATURE_SEGMENTS}{d.pk}/") == DEVELOPMENT
    assert events_of("delete", f"{FEATURE_SEGMENTS}{c.pk}/") == []
    fields = {"environment": environment.pk, "feature": feature.pk}
    assert events_of("put", f"{FEATURE_SEGMENTS}{a.pk}/", {**fields, "segment": a.segment_id}) == []
    assert events_of("put", f"{FEATURE_SEGMENTS}{a.pk}/", {**fields, "segment": make_segment("e").pk}) == DEVELOPMENT


def test_identity_override__changed__no_event(
    events_of: Callable[..., list[str]],
    state: FeatureState,
    states: str,
    environment: Environment,
    make_identity_override: Callable[..., FeatureState],
) -> None:
    override = make_identity_override(state.feature, "u")
    option = MultivariateFeatureOption.objects.create(feature=state.feature)
    share = {"multivariate_feature_option": option.pk, "percentage_allocation": 10}
    revision = Environment.objects.get(pk=environment.pk).revision
    body = {"enabled": False, "multivariate_feature_state_values": [share]}
    assert events_of("put", f"{states}{override.pk}/?anyIdentity=1", body) == []
    assert Environment.objects.get(pk=environment.pk).revision > revision


def test_request__rejected__no_event_and_nothing_stored(
    admin: APIClient, events: list[str], states: str, state: FeatureState, features: str
) -> None:
    before = Environment.objects.get(pk=state.environment_id)
    events.clear()
    for answer in (
        admin.put(f"{states}{state.pk}/", {"enabled": True, "feature_state_value": {}}, "json"),
        admin.post(features, {"name": "new", "tags": [0]}, "json"),
        admin.post(states, {"feature": state.feature_id, "enabled": True}, "json"),
    ):
        assert answer.status_code == 400
    after = Environment.objects.get(pk=state.environment_id)
    assert events == []
    assert (after.updated_at, after.revision) == (before.updated_at, before.revision)
