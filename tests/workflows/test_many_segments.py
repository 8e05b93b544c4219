"""Change requests of several segments: bulk writes with the same audit log entries as single writes, and one event."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.models import Environment
from projects.models import Project
from tests.support.events import recorded_events

# Events are published on commit.
pytestmark = pytest.mark.django_db(transaction=True)

Body = dict[str, Any]


def rules(value: str, description: str | None = None) -> list[Body]:
    condition = {"operator": "EQUAL", "property": "plan", "value": value, "description": description}
    return [{"type": "ALL", "conditions": [], "rules": [{"type": "ANY", "conditions": [condition]}]}]


@pytest.fixture
def path(project: Project) -> str:
    return f"/api/v1/projects/{project.pk}/"


@pytest.fixture
def segments(admin: APIClient, path: str) -> list[Body]:
    bodies = [{"name": name, "rules": rules("old")} for name in ("first", "second")]
    return [admin.post(f"{path}segments/", body, "json").json() for body in bodies]


@pytest.fixture
def commit(admin: APIClient, path: str) -> Callable[..., None]:
    def make(*requested: Body) -> None:
        created = admin.post(f"{path}change-requests/", {"title": "t", "segments": requested}, "json")
        assert created.status_code == 201, created.content
        assert admin.post(f"{path}change-requests/{created.json()['id']}/commit/").status_code == 200

    return make


@pytest.fixture
def entries(admin: APIClient, path: str) -> Callable[[], list[tuple[str, list[str]]]]:
    """The two newest audit log entries of segments: message and changed fields."""

    def read() -> list[tuple[str, list[str]]]:
        listed = [
            entry for entry in admin.get(f"{path}audit/").json()["results"] if entry["related_object_type"] == "SEGMENT"
        ]
        retrieved = [admin.get(f"{path}audit/{entry['id']}/").json() for entry in listed[:2]]
        return [(entry["log"], [each["field"] for each in entry["change_details"]]) for entry in reversed(retrieved)]

    return read


def test_commit__several_segments__each_changed_and_logged_with_one_event(
    admin: APIClient,
    path: str,
    segments: list[Body],
    commit: Callable[..., None],
    entries: Callable[[], Any],
    environment: Environment,
    production: Environment,
) -> None:
    first, second = segments
    with recorded_events(environment, production) as events:
        commit(
            {"name": "renamed", "description": "d", "rules": rules("old"), "version_of": first["id"]},
            {"name": "second", "rules": [*rules("new"), *rules("newer")], "version_of": second["id"]},
        )
        assert (len(events.of(environment)), len(events.of(production))) == (1, 1)
    after = [admin.get(f"{path}segments/{each['id']}/").json() for each in segments]
    assert [each["name"] for each in after] == ["renamed", "second"]
    values = [[rule["rules"][0]["conditions"][0]["value"] for rule in each["rules"]] for each in after]
    assert values == [["old"], ["new", "newer"]]
    assert after[0]["updated_at"] > first["updated_at"]
    assert entries() == [("Segment updated: renamed", ["name", "description"]), ("Segment updated: second", ["rules"])]


def test_commit__change_invisible_to_sdks__logged_without_an_event(
    segments: list[Body], commit: Callable[..., None], entries: Callable[[], Any], environment: Environment
) -> None:
    with recorded_events(environment) as events:
        commit(
            *(
                {"name": each["name"], "description": "d", "rules": rules("old", "why"), "version_of": each["id"]}
                for each in segments
            )
        )
        assert events.of(environment) == []
    assert entries() == [
        ("Segment updated: first", ["description", "rules"]),
        ("Segment updated: second", ["description", "rules"]),
    ]
