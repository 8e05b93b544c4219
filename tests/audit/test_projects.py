"""Entries about projects: the switch of real-time updates, and what else SDKs read."""

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from tests.audit.conftest import Entries

pytestmark = pytest.mark.django_db


def test_project__real_time_switched__entry_of_its_own_with_the_event(
    admin: APIClient, project_path: str, new_entries: Callable[[], Entries]
) -> None:
    for enabled, text in ((False, "off"), (True, "on")):
        admin.patch(project_path, {"enable_realtime_updates": enabled}, format="json")
        (entry,) = new_entries()
        assert entry["log"] == f"Real-time updates turned {text} for project: Web"
        assert entry["author"]["email"] == "admin@example.com"
        assert (entry["environment"], entry["related_object_type"], entry["change_type"]) == (None, None, "UPDATE")
        change = {"field": "enable_realtime_updates", "old": not enabled, "new": enabled}
        assert entry["change_details"] == [change]
    # The same value again is no change.
    admin.patch(project_path, {"enable_realtime_updates": True}, format="json")
    assert new_entries() == []


def test_project__name_and_switch_changed__two_entries(
    admin: APIClient, project_path: str, new_entries: Callable[[], Entries]
) -> None:
    body = {"name": "Shop", "enable_realtime_updates": False, "stale_flags_limit_days": 7}
    admin.patch(project_path, body, format="json")
    switch, rest = new_entries()
    assert switch["log"] == "Real-time updates turned off for project: Shop"
    assert rest["log"] == "Project updated: Shop"
    assert rest["change_details"] == [{"field": "name", "old": "Web", "new": "Shop"}]


def test_project__created_and_changed_in_other_fields__no_entry(
    admin: APIClient, project_path: str, new_entries: Callable[[], Entries]
) -> None:
    admin.patch(project_path, {"stale_flags_limit_days": 7}, format="json")
    assert new_entries() == []
