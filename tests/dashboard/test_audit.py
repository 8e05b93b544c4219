"""The audit log in the dashboard: entries, their authors, changes and events, and the permission to read them."""

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from audit.models import AnnouncedVersion, AuditLog
from environments.models import Environment
from features.models import FeatureState
from organisations.models import Organisation
from projects.models import Project, UserProjectPermission
from realtime.types import epoch_seconds
from segments.models import Segment
from tests.conftest import signed_in
from tests.dashboard.conftest import signed_in_browser
from tests.scale.growth import Growth, grow
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db

RULES = [{"type": "ALL", "conditions": [{"operator": "EQUAL", "property": "plan", "value": "pro"}]}]


@pytest.fixture
def log(project: Project) -> str:
    return f"/projects/{project.pk}/audit-log/"


def rows(page: bytes) -> list[str]:
    """The text of each entry on a page."""
    found = re.findall(r'<li class="row">.*?</li>', page.decode(), re.DOTALL)
    return [" ".join(html.unescape(re.sub("<[^>]*>", " ", row)).split()) for row in found]


def test_log__changes_by_a_user_a_key_and_the_system__author_change_environment_and_event(
    browser: Client,
    admin: APIClient,
    log: str,
    project: Project,
    environment: Environment,
    production: Environment,
    state: FeatureState,
    organisation: Organisation,
) -> None:
    base_path = f"/projects/{project.pk}/environments/{environment.api_key}/"
    admin.patch(
        f"/api/v1/environments/{environment.api_key}/featurestates/{state.pk}/", {"enabled": True}, format="json"
    )
    environment.refresh_from_db()
    (toggled,) = rows(browser.get(log).content)
    assert "Flag state updated for feature: banner" in toggled
    assert "Ada Admin · Development · Feature" in toggled
    assert f"event {epoch_seconds(environment.updated_at)}" in toggled
    assert f"{base_path}features/{state.feature_id}/".encode() in browser.get(log).content

    key = admin.post(
        f"/api/v1/organisations/{organisation.pk}/master-api-keys/", {"name": "robot"}, format="json"
    ).json()
    robot = APIClient()
    robot.credentials(HTTP_AUTHORIZATION=f"Api-Key {key['key']}")
    body = {"name": "<i>pros</i>", "rules": RULES}
    segment = robot.post(f"/api/v1/projects/{project.pk}/segments/", body, format="json").json()["id"]
    AuditLog.objects.filter(log__contains="banner").update(author=None, is_system_event=True)
    page = browser.get(log)
    created, toggled = rows(page.content)
    assert "New Segment created: <i>pros</i>" in created
    assert b"<i>pros" not in page.content
    assert "API key robot · All environments · Segment" in created
    assert "2 events" in created
    assert "System · Development" in toggled
    assert f'href="/projects/{project.pk}/segments/{segment}/"'.encode() in page.content

    entry = AuditLog.objects.get(related_object_type="SEGMENT")
    shown = html.unescape(browser.get(f"{log}{entry.pk}/").content.decode())
    for each in (environment, production):
        version = AnnouncedVersion.objects.filter(environment=each).first()
        assert version is not None
        assert re.search(rf"{each.name}</th><td><code>{epoch_seconds(version.updated_at)}</code>", shown)
    admin.delete(f"/api/v1/projects/{project.pk}/segments/{segment}/")
    assert f'href="/projects/{project.pk}/segments/{segment}/"'.encode() not in browser.get(log).content
    assert browser.get(f"{log}{entry.pk + 100}/").status_code == 404


def test_entry__a_change__fields_before_and_after(
    browser: Client, admin: APIClient, log: str, environment: Environment, state: FeatureState
) -> None:
    path = f"/api/v1/environments/{environment.api_key}/featurestates/{state.pk}/"
    admin.patch(path, {"enabled": True}, format="json")
    admin.patch(path, {"feature_state_value": "<b>7</b>"}, format="json")
    first, second = (html.unescape(browser.get(f"{log}{pk}/").content.decode()) for pk in _newest(2)[::-1])
    assert re.search(r'>enabled</th><td><code class="content">false</code></td><td><code class="content">true<', first)
    assert re.search(r'>string_value</th><td><code class="content">nothing</code></td><td>.*?<b>7</b><', second)


def _newest(number: int) -> list[int]:
    return list(AuditLog.objects.values_list("pk", flat=True)[:number])


def test_log__filters__only_matching_entries(
    browser: Client, log: str, project: Project, environment: Environment, production: Environment
) -> None:
    scope: dict[str, Any] = {"organisation": project.organisation, "project": project, "transaction": environment.uuid}
    for day, where, system in ((1, environment, False), (2, production, True), (3, None, False)):
        AuditLog.objects.create(
            **scope,
            log=f"change {day}",
            environment=where,
            is_system_event=system,
            created_date=f"2026-03-0{day}T23:59:59Z",
        )

    def shown(**query: Any) -> list[int]:
        page = browser.get(log, query)
        assert page.status_code == 200
        return [int(re.findall(r"change (\d)", row)[0]) for row in rows(page.content)]

    assert shown() == [3, 2, 1]
    assert shown(search="NGE 2") == [2]
    assert shown(environments=production.pk) == [2]
    assert shown(is_system_event="false") == [3, 1]
    assert shown(since="2026-03-02", until="2026-03-02") == [2]
    assert shown(search="nothing") == []
    assert b"No entry is like that" in browser.get(log, {"search": "nothing"}).content
    invalid = browser.get(log, {"since": "yesterday", "search": "x" * 257})
    assert invalid.status_code == 400
    assert invalid.content.count(b'aria-invalid="true"') == 2
    assert browser.get(log, {"environments": "x", "page": "x"}).status_code == 400


def test_log__without_view_audit_log__403_or_404(
    viewer: Client, stranger: Client, member_user: FFAdminUser, log: str, project: Project, segment: Segment
) -> None:
    signed_in(member_user)
    entry = AuditLog.objects.create(
        organisation=project.organisation, project=project, log="change", transaction=segment.uuid
    )
    for path in (log, f"{log}{entry.pk}/"):
        assert stranger.get(path).status_code == 404
        rejected = viewer.get(path)
        assert rejected.status_code == 403
        assert b"VIEW_AUDIT_LOG" in rejected.content
    UserProjectPermission.objects.get(user=member_user).permissions.add("VIEW_AUDIT_LOG")
    reader = signed_in_browser(member_user)
    for path in (log, f"{log}{entry.pk}/"):
        assert reader.get(path).status_code == 200


def test_log__many_entries__dozen_queries(
    browser: Client,
    member_user: FFAdminUser,
    viewer: Client,
    admin: APIClient,
    log: str,
    environment: Environment,
    state: FeatureState,
    django_assert_max_num_queries: Callable[..., Any],
) -> None:
    grow(environment, Growth(features=3, environments=9, segments=3, identities=2, entries=90, others=3))
    project = environment.project_id
    for name in "abc":
        body = {"name": name, "rules": RULES}
        admin.post(f"/api/v1/projects/{project}/segments/", body, format="json")
        admin.post(f"/api/v1/projects/{project}/features/", {"name": name}, format="json")
    admin.patch(
        f"/api/v1/environments/{environment.api_key}/featurestates/{state.pk}/", {"enabled": True}, format="json"
    )
    UserProjectPermission.objects.get(user=member_user).permissions.add("VIEW_AUDIT_LOG")
    for client in (browser, viewer):
        for path in (log, f"{log}?page=2", f"{log}{_newest(1)[0]}/"):
            with django_assert_max_num_queries(12):
                assert client.get(path).status_code == 200
