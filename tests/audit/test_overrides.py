"""Entries of segment overrides and identity overrides."""

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

NewEntries = Callable[[], Entries]
MakeOverride = Callable[..., FeatureState]

STATE = "Flag state / Remote config value updated for feature 'banner' and {} '{}'"
SEGMENT_STATE = STATE.format("segment", "professionals")
SEGMENT_VALUE = "Remote config updated for segment override on feature 'banner' and segment 'professionals'."
SEGMENT_DELETED = "Flag state / Remote config value deleted for feature 'banner' and segment 'professionals'"
IDENTITY_STATE = STATE.format("identity", "u1")
IDENTITY_VALUE = "Remote config value updated for identity override on feature 'banner' and identity 'u1'."
IDENTITY_DELETED = "Flag state / Remote config value deleted for feature 'banner' and identity 'u1'"


@pytest.mark.parametrize(
    "enabled,value,expected",
    [
        (True, "v", [SEGMENT_STATE, SEGMENT_VALUE]),
        (True, None, [SEGMENT_STATE]),
        (False, "v", [SEGMENT_VALUE]),
        (False, None, []),
    ],
)
def test_segment_override__created__entries_of_its_differences_from_the_default(
    admin: APIClient,
    environment_path: str,
    feature: Feature,
    segment: Segment,
    new_entries: NewEntries,
    enabled: bool,
    value: str | None,
    expected: list[str],
) -> None:
    body = {
        "feature_segment": {"segment": segment.pk},
        "enabled": enabled,
        "feature_state_value": {"type": "unicode", "string_value": value},
    }
    path = f"{environment_path}features/{feature.pk}/create-segment-override/"
    response = admin.post(path, body, format="json")
    assert response.status_code == 201, response.content

    entries = new_entries()
    assert [entry["log"] for entry in entries] == expected
    assert {entry["related_object_id"] for entry in entries} <= {response.json()["id"]}
    assert {entry["related_object_type"] for entry in entries} <= {"FEATURE_STATE"}


def test_segment_override__created_in_two_requests_changed_and_deleted__logged(
    admin: APIClient, environment: Environment, feature: Feature, segment: Segment, new_entries: NewEntries
) -> None:
    names = {"environment": environment.pk, "feature": feature.pk}
    feature_segments, states = "/api/v1/features/feature-segments/", "/api/v1/features/featurestates/"

    body = {**names, "segment": segment.pk}
    feature_segment = admin.post(feature_segments, body, format="json").json()["id"]
    assert new_entries() == []

    body = {**names, "feature_segment": feature_segment, "enabled": True}
    state = admin.post(states, body, format="json").json()["id"]
    (created,) = new_entries()
    assert (created["log"], created["change_type"]) == (SEGMENT_STATE, "CREATE")
    assert created["change_details"] == [{"field": "enabled", "old": None, "new": True}]

    value = {"type": "int", "integer_value": 5}
    body = {**names, "enabled": False, "feature_state_value": value}
    assert admin.put(f"{states}{state}/", body, format="json").status_code == 200
    assert [(entry["log"], entry["change_type"]) for entry in new_entries()] == [
        (SEGMENT_STATE, "UPDATE"),
        (SEGMENT_VALUE, "UPDATE"),
    ]

    assert admin.delete(f"{feature_segments}{feature_segment}/").status_code == 204
    (deleted,) = new_entries()
    assert (deleted["log"], deleted["change_type"]) == (SEGMENT_DELETED, "DELETE")
    assert (deleted["related_object_type"], deleted["related_object_id"]) == ("FEATURE", feature.pk)
    assert deleted["environment"]["id"] == environment.pk


def test_segment_override__moved_to_another_segment__entry_with_both(
    admin: APIClient,
    environment: Environment,
    project: Project,
    feature: Feature,
    segment: Segment,
    make_override: MakeOverride,
    new_entries: NewEntries,
) -> None:
    feature_segment = make_override(segment).feature_segment
    other = Segment.objects.create(name="beginners", project=project)
    body = {"environment": environment.pk, "feature": feature.pk, "segment": other.pk}
    response = admin.put(f"/api/v1/features/feature-segments/{feature_segment.pk}/", body, format="json")
    assert response.status_code == 200, response.content

    (entry,) = new_entries()
    assert entry["log"] == STATE.format("segment", "beginners")
    assert entry["change_details"] == [{"field": "segment_id", "old": segment.pk, "new": other.pk}]


def test_priorities__changed__one_entry_with_both_orders(
    admin: APIClient,
    project: Project,
    feature: Feature,
    segment: Segment,
    make_override: MakeOverride,
    new_entries: NewEntries,
) -> None:
    first = make_override(segment, 0).feature_segment
    second = make_override(Segment.objects.create(name="beginners", project=project), 1).feature_segment
    path = "/api/v1/features/feature-segments/update-priorities/"
    for _ in range(2):
        body = [{"id": first.pk, "priority": 1}, {"id": second.pk, "priority": 0}]
        assert admin.post(path, body, format="json").status_code == 200

    (entry,) = new_entries()
    assert entry["log"] == "Segment overrides re-ordered for feature 'banner'."
    assert (entry["related_object_type"], entry["related_object_id"]) == ("FEATURE", feature.pk)
    order = {"field": "priority", "old": "professionals, beginners", "new": "beginners, professionals"}
    assert entry["change_details"] == [order]


def test_draft__created_and_changed__no_entry_until_it_is_live(
    environment: Environment, feature: Feature, segment: Segment, new_entries: NewEntries
) -> None:
    """A state without a version is a draft."""
    feature_segment = FeatureSegment.objects.create(environment=environment, feature=feature, segment=segment)
    with actor.system():
        state = FeatureState.objects.create(
            environment=environment, feature=feature, feature_segment=feature_segment, version=None, enabled=True
        )
        value = FeatureStateValue.objects.create(feature_state=state, string_value="v")
        value.string_value = "w"
        value.save()
    assert new_entries() == []

    with actor.system():
        state.version = 1
        state.save()
        value.string_value = "x"
        value.save()
    assert [entry["log"] for entry in new_entries()] == [SEGMENT_STATE, SEGMENT_VALUE]


def test_segment_override__only_its_state_deleted__no_entry(
    segment: Segment, make_override: MakeOverride, new_entries: NewEntries
) -> None:
    """Only the deletion of the feature segment is logged."""
    state = make_override(segment)
    with actor.system():
        state.delete()

    assert new_entries() == []


def test_identity_override__created_changed_and_deleted__logged(
    admin: APIClient, environment_path: str, feature: Feature, identity: Identity, new_entries: NewEntries
) -> None:
    path = f"{environment_path}identities/{identity.pk}/featurestates/"
    body = {"feature": feature.pk, "enabled": True, "feature_state_value": "a"}
    pk = admin.post(path, body, format="json").json()["id"]
    created = new_entries()
    assert admin.put(f"{path}{pk}/", {"enabled": False, "feature_state_value": "b"}, format="json").status_code == 200
    updated = new_entries()
    assert admin.delete(f"{path}{pk}/").status_code == 204
    deleted = new_entries()

    assert [(entry["log"], entry["change_type"]) for entry in (*created, *updated, *deleted)] == [
        (IDENTITY_STATE, "CREATE"),
        (IDENTITY_VALUE, "UPDATE"),
        (IDENTITY_STATE, "UPDATE"),
        (IDENTITY_VALUE, "UPDATE"),
        (IDENTITY_DELETED, "DELETE"),
    ]
    assert {entry["related_object_id"] for entry in (*created, *updated, *deleted)} == {pk}


def test_identity_overrides__copied_from_another_identity__entries_of_the_differences(
    admin: APIClient,
    environment: Environment,
    environment_path: str,
    feature: Feature,
    make_feature: Callable[..., Feature],
    identity: Identity,
    new_entries: NewEntries,
) -> None:
    source = Identity.objects.create(environment=environment, identifier="source")
    both, only_source, only_target = feature, make_feature("source's"), make_feature("target's")

    def override(identity: Identity, feature: Feature, **fields: Any) -> None:
        state = FeatureState.objects.create(environment=environment, feature=feature, identity=identity, **fields)
        FeatureStateValue.objects.create(feature_state=state, string_value=identity.identifier)

    override(identity, both, enabled=False)
    override(identity, only_target)
    override(source, both, enabled=True)
    override(source, only_source, enabled=True)
    new_entries()
    path = f"{environment_path}identities/{identity.pk}/featurestates/clone-from-given-identity/"
    for _ in range(2):
        assert admin.post(path, {"source_identity_id": source.pk}, format="json").status_code == 200

    entries = new_entries()
    assert [(entry["log"], entry["change_type"]) for entry in entries] == [
        (IDENTITY_STATE, "UPDATE"),
        (IDENTITY_VALUE, "UPDATE"),
        (IDENTITY_STATE.replace("banner", "source's"), "CREATE"),
        (IDENTITY_DELETED.replace("banner", "target's"), "DELETE"),
    ]
    assert {entry["environment"]["id"] for entry in entries} == {environment.pk}
    copy = FeatureState.objects.get(identity=identity, feature=only_source)
    assert entries[2]["related_object_id"] == copy.pk


def test_identity__created_and_deleted_with_its_overrides__no_entry(
    admin: APIClient, environment_path: str, feature: Feature, identity: Identity, new_entries: NewEntries
) -> None:
    path = f"{environment_path}identities/"
    assert admin.post(path, {"identifier": "new"}, format="json").status_code == 201
    body = {"feature": feature.pk, "enabled": True}
    assert admin.post(f"{path}{identity.pk}/featurestates/", body, format="json").status_code == 201
    new_entries()
    assert admin.delete(f"{path}{identity.pk}/").status_code == 204

    assert new_entries() == []
