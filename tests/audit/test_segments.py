"""Entries of segments, environments and projects."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureState
from segments.models import Segment
from tests.audit.conftest import Entries

pytestmark = [pytest.mark.django_db, pytest.mark.database]

NewEntries = Callable[[], Entries]


def rules(value: str = "pro", **more: Any) -> list[dict[str, Any]]:
    condition = {"operator": "EQUAL", "property": "plan", "value": value, **more}
    return [{"type": "ALL", "conditions": [], "rules": [{"type": "ANY", "conditions": [condition]}]}]


def test_segment__created_and_cloned__logged(admin: APIClient, project_path: str, new_entries: NewEntries) -> None:
    created = admin.post(f"{project_path}segments/", {"name": "s", "rules": rules()}, format="json").json()["id"]
    clone = admin.post(f"{project_path}segments/{created}/clone/", {"name": "t"}, format="json").json()["id"]

    entries = new_entries()
    assert [(entry["log"], entry["related_object_id"]) for entry in entries] == [
        ("New Segment created: s", created),
        ("New Segment created: t", clone),
    ]
    for entry in entries:
        assert (entry["related_object_type"], entry["change_type"], entry["environment"]) == ("SEGMENT", "CREATE", None)


def test_segment__name_and_rules_changed__one_entry_with_both(
    admin: APIClient, project_path: str, segment: Segment, new_entries: NewEntries
) -> None:
    body = {"name": "new", "rules": rules("basic", description="those who pay little")}
    assert admin.put(f"{project_path}segments/{segment.pk}/", body, format="json").status_code == 200

    (entry,) = new_entries()
    assert (entry["log"], entry["change_type"]) == ("Segment updated: new", "UPDATE")
    name, tree = entry["change_details"]
    assert name == {"field": "name", "old": "professionals", "new": "new"}
    assert tree["field"] == "rules"
    old, new = (json.loads(tree[side])[0]["rules"][0]["conditions"] for side in ("old", "new"))
    assert old == [{"operator": "EQUAL", "property": "plan", "value": "pro", "description": None}]
    assert new == [{"operator": "EQUAL", "property": "plan", "value": "basic", "description": "those who pay little"}]


def test_segment__saved_without_a_change__entry_without_details(
    admin: APIClient, project_path: str, segment: Segment, new_entries: NewEntries
) -> None:
    """As in Flagsmith, which increments the segment's version."""
    body = {"name": "professionals", "rules": rules()}
    assert admin.put(f"{project_path}segments/{segment.pk}/", body, format="json").status_code == 200

    (entry,) = new_entries()
    assert (entry["log"], entry["change_details"]) == ("Segment updated: professionals", [])


def test_segment__deleted__entries_for_its_overrides_and_itself(
    admin: APIClient,
    project_path: str,
    feature: Feature,
    segment: Segment,
    make_override: Callable[..., FeatureState],
    new_entries: NewEntries,
) -> None:
    make_override(segment)
    pk = segment.pk
    assert admin.delete(f"{project_path}segments/{pk}/").status_code == 204

    entries = new_entries()
    assert [(entry["log"], entry["related_object_type"], entry["related_object_id"]) for entry in entries] == [
        (
            "Flag state / Remote config value deleted for feature 'banner' and segment 'professionals'",
            "FEATURE",
            feature.pk,
        ),
        ("Segment deleted: professionals", "SEGMENT", pk),
    ]
    assert [entry["environment"] and entry["environment"]["name"] for entry in entries] == ["Development", None]
    assert {entry["change_type"] for entry in entries} == {"DELETE"}


def test_environment__created_and_cloned__one_entry_each(
    admin: APIClient, feature: Feature, environment: Environment, environment_path: str, new_entries: NewEntries
) -> None:
    created = admin.post(
        "/api/v1/environments/", {"name": "E", "project": environment.project_id}, format="json"
    ).json()
    clone = admin.post(f"{environment_path}clone/", {"name": "C"}, format="json").json()

    entries = new_entries()
    assert [(entry["log"], entry["related_object_id"], entry["environment"]["id"]) for entry in entries] == [
        ("New Environment created: E", created["id"], created["id"]),
        ("New Environment created: C", clone["id"], clone["id"]),
    ]
    assert {(entry["related_object_type"], entry["change_type"]) for entry in entries} == {("ENVIRONMENT", "CREATE")}


def test_environment__changed__entry_with_the_changed_fields(
    admin: APIClient, environment: Environment, environment_path: str, new_entries: NewEntries
) -> None:
    body = {"name": "Development", "banner_text": "careful", "hide_disabled_flags": False}
    for _ in range(2):
        assert admin.put(environment_path, body, format="json").status_code == 200

    (entry,) = new_entries()
    assert (entry["log"], entry["related_object_id"]) == ("Environment updated: Development", environment.pk)
    assert entry["change_details"] == [
        {"field": "banner_text", "old": None, "new": "careful"},
        {"field": "hide_disabled_flags", "old": None, "new": False},
    ]


def test_environment__deleted__no_entry_and_its_entries_are_kept(
    admin: APIClient, environment: Environment, environment_path: str, state: FeatureState, new_entries: NewEntries
) -> None:
    assert admin.patch(f"{environment_path}featurestates/{state.pk}/", {"enabled": True}, format="json")
    pk = environment.pk
    (before,) = new_entries()
    assert admin.delete(environment_path).status_code == 204
    assert new_entries() == []

    path = f"/api/v1/projects/{before['project']['id']}/audit/"
    (entry,) = admin.get(f"{path}?environments={pk}").json()["results"]
    assert (entry["id"], entry["environment"], before["environment"]["id"]) == (before["id"], None, pk)


def test_project__deleted__no_entry_and_its_entries_are_kept(
    admin: APIClient, project_path: str, environment_path: str, state: FeatureState, new_entries: NewEntries
) -> None:
    assert admin.patch(f"{environment_path}featurestates/{state.pk}/", {"enabled": True}, format="json")
    (before,) = new_entries()
    assert admin.delete(project_path).status_code == 204
    assert new_entries() == []

    path = f"/api/v1/organisations/{before['project']['organisation']}/audit/"
    assert admin.get(f"{path}{before['id']}/").json() == {**before, "project": None, "environment": None}
    assert admin.get(f"{path}?project={before['project']['id']}").json()["count"] == 1
    assert admin.get(f"{project_path}audit/").status_code == 404
