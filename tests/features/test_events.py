"""What of features makes an event: at most one for each environment and call, and none where SDKs read the same."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState
from features.multivariate.models import MultivariateFeatureOption
from segments.models import Segment

# Real commits: in a test's own transaction the fixtures' announcements would stand for those of the calls.
pytestmark = pytest.mark.django_db(transaction=True)

OBJECTS = "/api/v1/features/featurestates/"
FEATURE_SEGMENTS = "/api/v1/features/feature-segments/"


@pytest.fixture
def heard(admin: APIClient, events: list[str]) -> Callable[..., list[str]]:
    """The environments' names that a call, which must succeed, made events for."""

    def call(method: str, path: str, body: Any = None) -> list[str]:
        events.clear()
        answer = getattr(admin, method)(path, body, "json")
        assert 200 <= answer.status_code < 300, answer.content
        names = dict(Environment.objects.values_list("api_key", "name"))
        return sorted(names[key] for key in events)

    return call


BOTH = ["Development", "Production"]
ONE = ["Development"]


def test_feature__through_its_life__one_event_each_where_sdks_read_a_change(
    heard: Callable[..., list[str]], features: str, environment: Environment, production: Environment
) -> None:
    options = [{"string_value": "a", "default_percentage_allocation": 10}]
    assert heard("post", features, {"name": "f", "multivariate_options": options}) == BOTH
    path = f"{features}{Feature.objects.get().pk}/"
    option = MultivariateFeatureOption.objects.values(
        "id", "type", "string_value", "default_percentage_allocation"
    ).get()
    assert heard("patch", path, {"description": "new"}) == BOTH
    assert heard("patch", path, {"description": "new", "name": "other", "initial_value": "x", "tags": []}) == []
    assert heard("patch", path, {"multivariate_options": [option]}) == []
    assert heard("patch", path, {"multivariate_options": [{**option, "integer_value": 7}]}) == []
    assert heard("patch", path, {"multivariate_options": [{**option, "string_value": "b"}]}) == BOTH
    assert heard("patch", path, {"multivariate_options": [option, options[0]], "description": "d"}) == BOTH
    assert heard("patch", path, {"multivariate_options": []}) == BOTH
    assert heard("delete", path) == BOTH


def test_option__through_its_life__one_event_each_where_sdks_read_a_change(
    heard: Callable[..., list[str]],
    features: str,
    environment: Environment,
    production: Environment,
    make_feature: Callable[..., Feature],
) -> None:
    path = f"{features}{make_feature().pk}/mv-options/"
    assert heard("post", path, {"string_value": "a", "default_percentage_allocation": 10}) == BOTH
    one = f"{path}{MultivariateFeatureOption.objects.get().pk}/"
    assert heard("patch", one, {"string_value": "a"}) == []
    assert heard("patch", one, {"string_value": "b"}) == BOTH
    assert heard("patch", one, {"default_percentage_allocation": 20}) == BOTH
    assert heard("delete", one) == BOTH


def test_default__changed__one_event_there(
    heard: Callable[..., list[str]], states: str, state: FeatureState, production: Environment
) -> None:
    path = f"{states}{state.pk}/"
    option = MultivariateFeatureOption.objects.create(feature=state.feature, string_value="a")
    share = {"multivariate_feature_option": option.pk, "percentage_allocation": 10}
    whole = {"enabled": True, "feature_state_value": "x", "multivariate_feature_state_values": [share]}
    assert heard("put", path, whole) == ONE
    assert heard("put", path, whole) == []
    assert heard("patch", path, {"enabled": True, "feature_state_value": "x"}) == []
    assert heard("put", path, {"live_from": "2999-01-01T00:00:00Z"}) == []
    assert heard("put", path, {"multivariate_feature_state_values": []}) == ONE
    named = {"environment": state.environment_id, "feature": state.feature_id}
    assert heard("put", f"{OBJECTS}{state.pk}/", {**named, "feature_state_value": {"integer_value": 3}}) == []
    assert heard("put", f"{OBJECTS}{state.pk}/", {**named, "feature_state_value": {"type": "int"}}) == ONE
    assert heard("delete", path) == ONE
    assert heard("post", states, {"feature": state.feature_id, "feature_state_value": 1}) == ONE


def test_override__in_two_steps__the_second_makes_the_event(
    heard: Callable[..., list[str]], state: FeatureState, segment: Segment, production: Environment
) -> None:
    names = {"environment": state.environment_id, "feature": state.feature_id}
    assert heard("post", FEATURE_SEGMENTS, {**names, "segment": segment.pk}) == []
    place = FeatureSegment.objects.get().pk
    assert heard("post", OBJECTS, {**names, "feature_segment": place, "enabled": True}) == ONE
    assert heard("delete", f"{FEATURE_SEGMENTS}{place}/") == ONE


def test_override__as_the_default_is__silent_but_another_revision(
    heard: Callable[..., list[str]], overrides: str, state: FeatureState, segment: Segment, environment: Environment
) -> None:
    before = Environment.objects.get(pk=environment.pk)
    body = {"feature_segment": {"segment": segment.pk}, "feature_state_value": {"type": "unicode"}}
    assert heard("post", overrides, body) == []
    after = Environment.objects.get(pk=environment.pk)
    assert after.updated_at == before.updated_at
    assert after.revision > before.revision


def test_order__changed__an_event_only_where_states_move(
    heard: Callable[..., list[str]],
    feature: Feature,
    environment: Environment,
    production: Environment,
    make_override: Callable[..., FeatureSegment],
    make_segment: Callable[[str], Segment],
) -> None:
    a, b = (make_override(feature, name, place) for place, name in enumerate("ab"))
    c, d = (make_override(feature, name, 2 + place, live=False) for place, name in enumerate("cd"))

    def reorder(**wanted: int) -> list[str]:
        places = {"a": a, "b": b, "c": c, "d": d}
        body = [{"id": places[name].pk, "priority": priority} for name, priority in wanted.items()]
        return heard("post", f"{FEATURE_SEGMENTS}update-priorities/", body)

    assert reorder(a=0, b=1) == []
    assert reorder(a=1, b=0) == ONE
    assert reorder(a=1) == []
    assert reorder(d=2, c=3) == []
    assert reorder(d=0) == ONE
    # d, b, a, c: to take d away moves b and a up; to take c away moves nobody.
    assert heard("delete", f"{FEATURE_SEGMENTS}{d.pk}/") == ONE
    assert heard("delete", f"{FEATURE_SEGMENTS}{c.pk}/") == []
    names = {"environment": environment.pk, "feature": feature.pk}
    assert heard("put", f"{FEATURE_SEGMENTS}{a.pk}/", {**names, "segment": a.segment_id}) == []
    assert heard("put", f"{FEATURE_SEGMENTS}{a.pk}/", {**names, "segment": make_segment("e").pk}) == ONE


def test_override__of_an_identity__silent(
    heard: Callable[..., list[str]],
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
    assert heard("put", f"{states}{override.pk}/?anyIdentity=1", body) == []
    assert Environment.objects.get(pk=environment.pk).revision > revision


def test_call__refused__no_event_and_nothing_stored(
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
