"""What the log says of overrides, a segment's and an identity's."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from core import actor
from environments.identities.models import Identity
from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from projects.models import Project
from segments.models import Segment
from tests.audit.conftest import Entries

pytestmark = [pytest.mark.django_db, pytest.mark.database]

Logged = Callable[[], Entries]
Maker = Callable[..., FeatureState]

STATE = "Flag state / Remote config value updated for feature 'banner' and {} '{}'"
SEGMENT_STATE = STATE.format("segment", "professionals")
SEGMENT_VALUE = "Remote config updated for segment override on feature 'banner' and segment 'professionals'."
SEGMENT_GONE = "Flag state / Remote config value deleted for feature 'banner' and segment 'professionals'"
IDENTITY_STATE = STATE.format("identity", "u1")
IDENTITY_VALUE = "Remote config value updated for identity override on feature 'banner' and identity 'u1'."
IDENTITY_GONE = "Flag state / Remote config value deleted for feature 'banner' and identity 'u1'"


@pytest.mark.parametrize(
    "enabled,value,expected",
    [
        (True, "v", [SEGMENT_STATE, SEGMENT_VALUE]),
        (True, None, [SEGMENT_STATE]),
        (False, "v", [SEGMENT_VALUE]),
        (False, None, []),
    ],
)
def test_segment_override__made__what_is_unlike_the_default(
    admin: APIClient,
    of_environment: str,
    feature: Feature,
    segment: Segment,
    logged: Logged,
    enabled: bool,
    value: str | None,
    expected: list[str],
) -> None:
    body = {
        "feature_segment": {"segment": segment.pk},
        "enabled": enabled,
        "feature_state_value": {"type": "unicode", "string_value": value},
    }
    path = f"{of_environment}features/{feature.pk}/create-segment-override/"
    made = admin.post(path, body, format="json")
    assert made.status_code == 201, made.content

    entries = logged()
    assert [entry["log"] for entry in entries] == expected
    assert {entry["related_object_id"] for entry in entries} <= {made.json()["id"]}
    assert {entry["related_object_type"] for entry in entries} <= {"FEATURE_STATE"}


def test_segment_override__in_two_steps_then_changed_then_removed__logged(
    admin: APIClient, environment: Environment, feature: Feature, segment: Segment, logged: Logged
) -> None:
    names = {"environment": environment.pk, "feature": feature.pk}
    places, states = "/api/v1/features/feature-segments/", "/api/v1/features/featurestates/"

    place = admin.post(places, {**names, "segment": segment.pk}, format="json").json()["id"]
    assert logged() == []

    state = admin.post(states, {**names, "feature_segment": place, "enabled": True}, format="json").json()["id"]
    (made,) = logged()
    assert (made["log"], made["change_type"]) == (SEGMENT_STATE, "CREATE")
    assert made["change_details"] == [{"field": "enabled", "old": None, "new": True}]

    value = {"type": "int", "integer_value": 5}
    body = {**names, "enabled": False, "feature_state_value": value}
    assert admin.put(f"{states}{state}/", body, format="json").status_code == 200
    changed = logged()
    assert [(entry["log"], entry["change_type"]) for entry in changed] == [
        (SEGMENT_STATE, "UPDATE"),
        (SEGMENT_VALUE, "UPDATE"),
    ]

    assert admin.delete(f"{places}{place}/").status_code == 204
    (gone,) = logged()
    assert (gone["log"], gone["related_object_type"], gone["related_object_id"], gone["change_type"]) == (
        SEGMENT_GONE,
        "FEATURE",
        feature.pk,
        "DELETE",
    )
    assert gone["environment"]["id"] == environment.pk


def test_segment_override__given_to_another_segment__logged_with_both(
    admin: APIClient,
    environment: Environment,
    project: Project,
    feature: Feature,
    segment: Segment,
    make_override: Maker,
    logged: Logged,
) -> None:
    place = make_override(segment).feature_segment
    other = Segment.objects.create(name="beginners", project=project)
    body = {"environment": environment.pk, "feature": feature.pk, "segment": other.pk}
    answer = admin.put(f"/api/v1/features/feature-segments/{place.pk}/", body, format="json")
    assert answer.status_code == 200, answer.content

    (entry,) = logged()
    assert entry["log"] == STATE.format("segment", "beginners")
    assert entry["change_details"] == [{"field": "segment_id", "old": segment.pk, "new": other.pk}]


def test_priorities__changed__one_entry_with_the_order(
    admin: APIClient, project: Project, feature: Feature, segment: Segment, make_override: Maker, logged: Logged
) -> None:
    first = make_override(segment, 0).feature_segment
    second = make_override(Segment.objects.create(name="beginners", project=project), 1).feature_segment
    path = "/api/v1/features/feature-segments/update-priorities/"
    for _ in range(2):
        body = [{"id": first.pk, "priority": 1}, {"id": second.pk, "priority": 0}]
        assert admin.post(path, body, format="json").status_code == 200

    (entry,) = logged()
    assert entry["log"] == "Segment overrides re-ordered for feature 'banner'."
    assert (entry["related_object_type"], entry["related_object_id"]) == ("FEATURE", feature.pk)
    order = {"field": "priority", "old": "professionals, beginners", "new": "beginners, professionals"}
    assert entry["change_details"] == [order]


def test_draft__written_and_changed__no_entry_until_it_is_live(
    environment: Environment, feature: Feature, segment: Segment, logged: Logged
) -> None:
    """A state without a version is a change request's."""
    place = FeatureSegment.objects.create(environment=environment, feature=feature, segment=segment)
    with actor.system():
        state = FeatureState.objects.create(
            environment=environment, feature=feature, feature_segment=place, version=None, enabled=True
        )
        value = FeatureStateValue.objects.create(feature_state=state, string_value="v")
        value.string_value = "w"
        value.save()
    assert logged() == []

    with actor.system():
        state.version = 1
        state.save()
        value.string_value = "x"
        value.save()
    assert [entry["log"] for entry in logged()] == [SEGMENT_STATE, SEGMENT_VALUE]


def test_segment_override__its_state_alone_deleted__no_entry(
    segment: Segment, make_override: Maker, logged: Logged
) -> None:
    """The entry is the feature segment's, which stays."""
    state = make_override(segment)
    with actor.system():
        state.delete()

    assert logged() == []


def test_identity_override__made_changed_removed__logged(
    admin: APIClient, of_environment: str, feature: Feature, identity: Identity, logged: Logged
) -> None:
    path = f"{of_environment}identities/{identity.pk}/featurestates/"
    made = admin.post(path, {"feature": feature.pk, "enabled": True, "feature_state_value": "a"}, format="json")
    pk = made.json()["id"]
    created = logged()
    assert admin.put(f"{path}{pk}/", {"enabled": False, "feature_state_value": "b"}, format="json").status_code == 200
    updated = logged()
    assert admin.delete(f"{path}{pk}/").status_code == 204
    deleted = logged()

    assert [(entry["log"], entry["change_type"]) for entry in (*created, *updated, *deleted)] == [
        (IDENTITY_STATE, "CREATE"),
        (IDENTITY_VALUE, "UPDATE"),
        (IDENTITY_STATE, "UPDATE"),
        (IDENTITY_VALUE, "UPDATE"),
        (IDENTITY_GONE, "DELETE"),
    ]
    assert {entry["related_object_id"] for entry in (*created, *updated, *deleted)} == {pk}


def test_identity_overrides__copied_from_another__what_it_comes_to(
    admin: APIClient,
    environment: Environment,
    of_environment: str,
    feature: Feature,
    make_feature: Callable[..., Feature],
    identity: Identity,
    logged: Logged,
) -> None:
    source = Identity.objects.create(environment=environment, identifier="source")
    same, only_source, only_target = feature, make_feature("theirs"), make_feature("ours")

    def override(identity: Identity, feature: Feature, **fields: Any) -> None:
        state = FeatureState.objects.create(environment=environment, feature=feature, identity=identity, **fields)
        FeatureStateValue.objects.create(feature_state=state, string_value=identity.identifier)

    override(identity, same, enabled=False)
    override(identity, only_target)
    override(source, same, enabled=True)
    override(source, only_source, enabled=True)
    logged()
    path = f"{of_environment}identities/{identity.pk}/featurestates/clone-from-given-identity/"
    for _ in range(2):
        assert admin.post(path, {"source_identity_id": source.pk}, format="json").status_code == 200

    entries = logged()
    assert [(entry["log"], entry["change_type"]) for entry in entries] == [
        (IDENTITY_STATE, "UPDATE"),
        (IDENTITY_VALUE, "UPDATE"),
        (IDENTITY_STATE.replace("banner", "theirs"), "CREATE"),
        (IDENTITY_GONE.replace("banner", "ours"), "DELETE"),
    ]
    assert {entry["environment"]["id"] for entry in entries} == {environment.pk}
    made = FeatureState.objects.get(identity=identity, feature=only_source)
    assert entries[2]["related_object_id"] == made.pk


def test_identity__made_and_deleted_with_its_overrides__no_entry(
    admin: APIClient, of_environment: str, feature: Feature, identity: Identity, logged: Logged
) -> None:
    path = f"{of_environment}identities/"
    assert admin.post(path, {"identifier": "new"}, format="json").status_code == 201
    body = {"feature": feature.pk, "enabled": True}
    assert admin.post(f"{path}{identity.pk}/featurestates/", body, format="json").status_code == 201
    logged()
    assert admin.delete(f"{path}{identity.pk}/").status_code == 204

    assert logged() == []
