"""``features/featurestates/``: defaults and overrides, with values as objects."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState
from segments.models import Segment

pytestmark = pytest.mark.django_db

PATH = "/api/v1/features/featurestates/"


def text(value: str) -> dict[str, Any]:
    return {"type": "unicode", "string_value": value}


@pytest.fixture
def feature_segment(feature: Feature, make_override: Callable[..., FeatureSegment]) -> FeatureSegment:
    """A feature segment without a state."""
    return make_override(feature, "s", 0, live=False)


@pytest.fixture
def required(state: FeatureState) -> dict[str, Any]:
    """Required fields of a body."""
    return {"environment": state.environment_id, "feature": state.feature_id}


def test_list__environment__defaults_and_overrides(
    admin: APIClient,
    state: FeatureState,
    feature: Feature,
    make_override: Callable[..., FeatureSegment],
    make_identity_override: Callable[..., FeatureState],
) -> None:
    feature_segment, override = make_override(feature, "s", 0), make_identity_override(feature, "u")
    segment_override = feature_segment.feature_states.get()

    def listed(query: str = "") -> list[int]:
        answer = admin.get(f"{PATH}?environment={state.environment_id}{query}")
        assert answer.status_code == 200
        return [each["id"] for each in answer.json()["results"]]

    assert listed() == [state.pk, segment_override.pk, override.pk]
    assert listed(f"&feature={feature.pk}") == [state.pk, segment_override.pk, override.pk]
    assert listed(f"&feature_segment={feature_segment.pk}") == [segment_override.pk]
    assert listed("&feature=99999") == []
    shown = admin.get(f"{PATH}?environment={state.environment_id}").json()["results"][2]
    assert shown["identity"] == override.identity_id
    assert shown["feature_state_value"] == {
        "type": "unicode",
        "string_value": "u",
        "integer_value": None,
        "boolean_value": None,
    }


@pytest.mark.parametrize("query", ["", "?environment=", "?environment=x", "?environment=99999999999", "?feature=1"])
def test_list__without_an_environment__forbidden(admin: APIClient, state: FeatureState, query: str) -> None:
    answer = admin.get(f"{PATH}{query}")
    assert answer.status_code == 403
    assert answer.json() == {"detail": "You do not have permission to perform this action."}


def test_retrieve__by_uuid_only__by_primary_key_405(admin: APIClient, state: FeatureState) -> None:
    assert admin.get(f"{PATH}{state.pk}/").status_code == 405
    answer = admin.get(f"{PATH}get-by-uuid/{state.uuid}/")
    assert answer.status_code == 200
    assert answer.json()["id"] == state.pk
    assert isinstance(answer.json()["feature_state_value"], dict)


def test_put__type_only__serves_the_stored_column_of_that_type(
    admin: APIClient, state: FeatureState, required: dict[str, Any]
) -> None:
    path = f"{PATH}{state.pk}/"
    admin.put(path, {**required, "feature_state_value": text("abc")}, "json")
    answer = admin.put(path, {**required, "feature_state_value": {"type": "int", "integer_value": 5}}, "json")
    assert answer.json()["feature_state_value"] == {
        "type": "int",
        "string_value": "abc",
        "integer_value": 5,
        "boolean_value": None,
    }
    answer = admin.put(path, {**required, "feature_state_value": {"type": "unicode"}}, "json")
    state.refresh_from_db()
    assert (answer.status_code, state.feature_state_value.value) == (200, "abc")


@pytest.mark.parametrize("missing", ["environment", "feature"])
def test_put__environment_or_feature_missing__rejected_and_patch_accepted(
    admin: APIClient, state: FeatureState, required: dict[str, Any], missing: str
) -> None:
    body = {name: required[name] for name in required if name != missing} | {"enabled": True}
    answer = admin.put(f"{PATH}{state.pk}/", body, "json")
    assert (answer.status_code, answer.json()) == (400, {missing: ["This field is required."]})
    answer = admin.patch(f"{PATH}{state.pk}/", body, "json")
    assert (answer.status_code, answer.json()["enabled"]) == (200, True)


@pytest.mark.parametrize(
    "value, error",
    [
        ("x", {"non_field_errors": ["Invalid data. Expected a dictionary, but got str."]}),
        (5, {"non_field_errors": ["Invalid data. Expected a dictionary, but got int."]}),
        (None, ["This field may not be null."]),
        ({"type": "x"}, {"type": ['"x" is not a valid choice.']}),
        (
            {"type": "unicode", "string_value": "x" * 20_001},
            {"string_value": ["Ensure this field has no more than 20000 characters."]},
        ),
        (
            {"type": "int", "integer_value": 2**31},
            {"integer_value": ["Ensure this value is less than or equal to 2147483647."]},
        ),
        ({"type": "bool", "boolean_value": "maybe"}, {"boolean_value": ["Must be a valid boolean."]}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_put__invalid_value__rejected_with_field(
    admin: APIClient, state: FeatureState, required: dict[str, Any], value: Any, error: Any
) -> None:
    answer = admin.put(f"{PATH}{state.pk}/", {**required, "enabled": True, "feature_state_value": value}, "json")
    assert (answer.status_code, answer.json()) == (400, {"feature_state_value": error})
    state.refresh_from_db()
    assert not state.enabled


def test_put__another_feature_environment_or_override__rejected(
    admin: APIClient,
    state: FeatureState,
    required: dict[str, Any],
    production: Environment,
    feature_segment: FeatureSegment,
    make_feature: Callable[..., Feature],
) -> None:
    identity = Identity.objects.create(identifier="u", environment=state.environment)
    for field, value in (
        ("feature", make_feature("other").pk),
        ("environment", production.pk),
        ("feature_segment", feature_segment.pk),
        ("identity", identity.pk),
    ):
        answer = admin.put(f"{PATH}{state.pk}/", {**required, field: value}, "json")
        error = f"Cannot change the {field.replace('_', ' ')} of a feature state"
        assert (answer.status_code, answer.json()) == (400, {field: [error]})
    body = {**required, "feature_segment": None, "identity": None, "version": 7, "id": 0, "change_request": 1}
    answer = admin.put(f"{PATH}{state.pk}/", body, "json")
    assert (answer.status_code, answer.json()["version"], answer.json()["change_request"]) == (200, 1, None)


def test_put__live_from__stored(admin: APIClient, state: FeatureState, required: dict[str, Any]) -> None:
    answer = admin.put(f"{PATH}{state.pk}/", {**required, "live_from": "2999-01-01T00:00:00Z"}, "json")
    assert answer.json()["live_from"] == "2999-01-01T00:00:00Z"
    listed = admin.get(f"{PATH}?environment={state.environment_id}").json()
    assert [each["id"] for each in listed["results"]] == [state.pk]


def test_create__state_of_a_feature_segment__has_the_initial_value(
    admin: APIClient, required: dict[str, Any], feature_segment: FeatureSegment, environment: Environment
) -> None:
    Feature.objects.update(initial_value="12")
    body = {**required, "feature_segment": feature_segment.pk, "enabled": True, "feature_state_value": text("two")}
    answer = admin.post(PATH, body, "json")
    assert answer.status_code == 201, answer.json()
    assert answer.json()["feature_state_value"] == {
        "type": "unicode",
        "string_value": "two",
        "integer_value": 12,
        "boolean_value": None,
    }
    assert (answer.json()["feature_segment"], answer.json()["version"]) == (feature_segment.pk, 1)
    again = admin.post(PATH, body, "json")
    assert again.status_code == 400
    assert again.json()[0].startswith("['Feature state already exists")


def test_create__identity_override__by_primary_key_or_identifier(
    admin: APIClient, required: dict[str, Any], environment: Environment
) -> None:
    one, two = (Identity.objects.create(identifier=name, environment=environment) for name in "uv")
    answer = admin.post(PATH, {**required, "identity": one.pk}, "json")
    assert (answer.status_code, answer.json()["identity"]) == (201, one.pk)
    answer = admin.post(PATH, {**required, "identifier": "v", "enabled": True}, "json")
    assert (answer.status_code, answer.json()["identity"]) == (201, two.pk)
    assert "identifier" not in answer.json()
    answer = admin.post(PATH, {**required, "identifier": "nobody"}, "json")
    assert (answer.status_code, answer.json()) == (400, {"non_field_errors": ["Invalid identifier"]})


def test_create__default_exists__rejected(admin: APIClient, required: dict[str, Any]) -> None:
    answer = admin.post(PATH, required, "json")
    assert answer.status_code == 400
    assert answer.json()[0].startswith("['Feature state already exists")


def test_create__objects_of_another_environment_or_feature__rejected(
    admin: APIClient,
    required: dict[str, Any],
    feature_segment: FeatureSegment,
    production: Environment,
    make_feature: Callable[..., Feature],
    segment: Segment,
) -> None:
    identity = Identity.objects.create(identifier="u", environment=production)
    in_production = FeatureSegment.objects.create(
        feature_id=required["feature"], environment=production, segment=segment, priority=0
    )
    other = make_feature("other")
    for body, field in (
        ({"identity": identity.pk}, "identity"),
        ({"feature_segment": in_production.pk}, "feature_segment"),
        ({"feature_segment": feature_segment.pk, "feature": other.pk}, "feature_segment"),
        ({"feature": 99_999}, "feature"),
    ):
        answer = admin.post(PATH, {**required, **body}, "json")
        assert (answer.status_code, list(answer.json())) == (400, [field])
    identity_here = Identity.objects.create(identifier="u", environment=feature_segment.environment)
    answer = admin.post(PATH, {**required, "feature_segment": feature_segment.pk, "identity": identity_here.pk}, "json")
    assert list(answer.json()) == ["non_field_errors"]


@pytest.mark.parametrize("environment_id", [None, "", "x", True, 1.5, [1], {"id": 1}, 2**40, -1])
def test_create__without_an_environment__forbidden(admin: APIClient, feature: Feature, environment_id: Any) -> None:
    answer = admin.post(PATH, {"environment": environment_id, "feature": feature.pk}, "json")
    assert answer.status_code == 403
    assert admin.post(PATH, [environment_id], "json").status_code == 403


def test_draft__of_a_change_request__not_found(admin: APIClient, state: FeatureState, required: dict[str, Any]) -> None:
    draft = FeatureState.objects.create(
        feature_id=required["feature"], environment_id=required["environment"], version=None, enabled=True
    )
    listed = admin.get(f"{PATH}?environment={required['environment']}").json()["results"]
    assert [each["id"] for each in listed] == [state.pk]
    assert admin.put(f"{PATH}{draft.pk}/", required, "json").status_code == 404
    assert admin.get(f"{PATH}get-by-uuid/{draft.uuid}/").status_code == 404


def test_states__of_another_tenant__not_found(
    outsider: APIClient, anonymous: APIClient, state: FeatureState, required: dict[str, Any]
) -> None:
    assert outsider.get(f"{PATH}?environment={state.environment_id}").status_code == 403
    assert outsider.post(PATH, required, "json").status_code == 403
    answer = outsider.put(f"{PATH}{state.pk}/", required, "json")
    assert (answer.status_code, answer.json()) == (404, {"detail": "No FeatureState matches the given query."})
    assert outsider.get(f"{PATH}get-by-uuid/{state.uuid}/").status_code == 404
    assert anonymous.get(PATH).status_code == 401
    assert anonymous.put(f"{PATH}{state.pk}/", required, "json").status_code == 401


def test_states__member__needs_permissions(
    member: APIClient,
    permit: Callable[..., None],
    state: FeatureState,
    required: dict[str, Any],
    feature: Feature,
    make_override: Callable[..., FeatureSegment],
) -> None:
    override = make_override(feature, "live", 0).feature_states.get()
    feature_segment = make_override(feature, "empty", 1, live=False)
    segment_override = {**required, "feature_segment": feature_segment.pk}

    def allowed() -> list[bool]:
        answers = (
            member.get(f"{PATH}?environment={state.environment_id}"),
            member.put(f"{PATH}{state.pk}/", required, "json"),
            member.put(f"{PATH}{override.pk}/", required, "json"),
            member.post(PATH, {**required, "identifier": "nobody"}, "json"),
            member.post(PATH, {**segment_override, "enabled": "maybe"}, "json"),
        )
        return [answer.status_code not in (403, 404) for answer in answers]

    permit("VIEW_PROJECT")
    assert allowed() == [False] * 5
    permit("VIEW_ENVIRONMENT", environment=state.environment)
    assert allowed() == [True, False, False, False, False]
    permit("UPDATE_FEATURE_STATE", environment=state.environment)
    assert allowed() == [True, True, False, True, False]
    permit("MANAGE_SEGMENT_OVERRIDES", environment=state.environment)
    assert allowed() == [True] * 5
