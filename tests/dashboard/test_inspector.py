"""The inspector page: streams, events and their causes, from the rows that servers write."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from api_keys.models import MasterAPIKey
from audit.models import AuditLog
from environments.models import Environment, EnvironmentAPIKey
from features.models import FeatureState
from organisations.models import Organisation, OrganisationRole, Subscription, UserOrganisation
from projects.models import Project
from realtime.inspector.durations import Durations
from realtime.inspector.models import InspectedEvent, InspectedMinute, InspectedProcess, minute_of
from realtime.types import epoch_seconds
from tests.dashboard.conftest import signed_in_browser
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db


def times(*milliseconds: float) -> Durations:
    found = Durations()
    for each in milliseconds:
        found.add(each)
    return found


@pytest.fixture
def processes() -> list[InspectedProcess]:
    now = timezone.now()
    return [
        InspectedProcess.objects.create(
            host=f"<web>-{number}", pid=4000 + number, started_at=now - timedelta(hours=2), seen_at=now
        )
        for number in (1, 2)
    ]


@pytest.fixture
def record_event(environment: Environment, processes: list[InspectedProcess]) -> Callable[..., InspectedEvent]:
    """Create the row of a delivered event; by default of the environment's version, delivered to two streams."""

    def record(process: int = 0, **columns: Any) -> InspectedEvent:
        environment.refresh_from_db()
        at = columns.get("updated_at", environment.updated_at)
        defaults = {
            "updated_at": at,
            "noted_at": timezone.now(),
            "written_at": at + timedelta(milliseconds=9),
            "committed_at": at + timedelta(milliseconds=4),
            "written": 2,
            "superseded": 0,
            "healed": False,
            "times": times(9, 24),
        }
        return InspectedEvent.objects.create(
            process=processes[process].pk, environment=environment.api_key, **defaults | columns
        )

    return record


def minute(
    process: InspectedProcess, environment: Environment, at: datetime, *, key: str | None = None, **columns: Any
) -> None:
    """Create the row of a minute, of the environment's key or of another one."""
    defaults = {
        "environment": key or environment.api_key,
        "streams": 2,
        "published": 1,
        "delivered": 1,
        "written": 2,
        "superseded": 0,
        "times": times(9, 24),
    }
    InspectedMinute.objects.create(process=process.pk, minute=minute_of(at), **defaults | columns)


def page_text(response: Any) -> str:
    """The text of a page without tags."""
    assert response.status_code == 200, response.content
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", response.content.decode())).split())


def refresh_url(panel: Any) -> str:
    """The URL from which the panel is refreshed."""
    found = re.search(rb'hx-get="([^"]+)"', panel.content)
    assert found is not None
    return found[1].decode()


def toggle(admin: APIClient, environment: Environment, state: FeatureState, **headers: str) -> None:
    path = f"/api/v1/environments/{environment.api_key}/featurestates/{state.pk}/"
    state.refresh_from_db()
    response = admin.patch(path, {"enabled": not state.enabled}, "json", headers=headers)
    assert response.status_code == 200, response.content


def test_inspector__streams_and_events__figures_causes_and_authors(
    browser: Client,
    admin: APIClient,
    base_path: str,
    environment: Environment,
    state: FeatureState,
    organisation: Organisation,
    processes: list[InspectedProcess],
    record_event: Callable[..., InspectedEvent],
) -> None:
    now = timezone.now()
    minute(processes[0], environment, now, streams=3, windows=3)
    minute(processes[1], environment, now - timedelta(minutes=20), streams=4, times=times(40))
    toggle(admin, environment, state)
    record_event()
    record_event(process=1, written=1, superseded=5, healed=True, times=times(504))
    old = record_event(updated_at=now - timedelta(minutes=30), written=0, times={}, written_at=None, committed_at=None)

    response = browser.get(f"{base_path}live/")
    assert "<web>" not in response.content.decode()
    page = page_text(response)
    assert "Applications connected now 7 in 2 of 2 processes Dashboard windows open now 3" in page
    assert "<web>-1 4001" in page
    assert "Flag state updated for feature: banner by admin@example.com" in page
    # One definition of latency: from the version's time, also if the time of the commit is known.
    figures = re.search(r"3 streams latency p50 ([\d.]+) · p99 ([\d.]+) ms", page)
    assert figures is not None, page
    assert [float(each) for each in figures.groups()] == pytest.approx([24, 504], rel=0.01)
    gauge = re.search(r"Latency of the last event, p50 ([\d.]+) ms", page)
    assert gauge is not None
    assert gauge[1] == figures[1]
    assert "Latency is the time from the change" in page
    assert "superseded for 5" in page
    assert "healed" in page
    assert "2 by <web>-1 4001, 1 by <web>-2 4002" in page
    assert f"version {epoch_seconds(environment.updated_at)}" in page
    assert (
        "The audit log has no entry: changed by a script, or in the database."
        f" version {epoch_seconds(old.updated_at)} no stream" in page
    )
    # Two minutes with two dots each. The newest minute is the last one, or the one before if a minute has just begun.
    assert response.content.decode().count("h0") == 4
    assert re.search(r"M5[89]\.5", response.content.decode())
    assert "curl -N http://testserver/sse/environments/" in page

    # A master API key has a name instead of an e-mail address.
    _, key = MasterAPIKey.objects.create_key(name="deploys", organisation=organisation)
    toggle(APIClient(), environment, state, Authorization=f"Api-Key {key}")
    record_event()
    assert "by API key deploys" in page_text(browser.get(f"{base_path}live/"))


def test_panel__unchanged__204_until_a_new_event(
    browser: Client, base_path: str, record_event: Callable[..., InspectedEvent]
) -> None:
    first = browser.get(f"{base_path}live/panel/")
    assert first.content.startswith(b'<div id="inspection"')
    assert float(first["X-Server-Time"]) == pytest.approx(timezone.now().timestamp() * 1_000, abs=60_000)
    again = browser.get(refresh_url(first))
    if again.status_code == 200:  # A new minute has begun, so the plots have changed.
        again = browser.get(refresh_url(again))
    assert (again.status_code, again.content) == (204, b"")
    record_event()
    assert "2 streams" in page_text(browser.get(refresh_url(first)))


def test_inspector__viewer__causes_only_with_view_audit_log(
    base_path: str,
    environment: Environment,
    project: Project,
    organisation: Organisation,
    admin: APIClient,
    state: FeatureState,
    record_event: Callable[..., InspectedEvent],
    member_browser: Client,
    django_assert_max_num_queries: Any,
) -> None:
    assert member_browser.get(f"{base_path}live/").status_code == 404
    assert member_browser.get(f"{base_path}live/panel/").status_code == 404
    toggle(admin, environment, state)
    record_event()
    viewer = FFAdminUser.objects.create_user("v@example.com", "pa55-word-1", first_name="V", last_name="V")
    UserOrganisation.objects.create(user=viewer, organisation=organisation, role=OrganisationRole.USER)
    rights = project.userpermission.create(user=viewer)
    rights.permissions.add("VIEW_PROJECT")
    environment.userpermission.create(user=viewer).permissions.add("VIEW_ENVIRONMENT")
    window = signed_in_browser(viewer)
    page = page_text(window.get(f"{base_path}live/"))
    assert "2 streams" in page
    assert "admin@example.com" not in page
    assert "Flag state updated" not in page
    assert "which your account may not read" in page
    rights.permissions.add("VIEW_AUDIT_LOG")
    for path in ("", "panel/"):
        with django_assert_max_num_queries(12):
            page = page_text(window.get(f"{base_path}live/{path}"))
        assert "Flag state updated for feature: banner by admin@example.com" in page


def test_inspector__many_events_with_many_entries__twelve_queries_and_three_entries_each(
    browser: Client,
    admin: APIClient,
    base_path: str,
    environment: Environment,
    state: FeatureState,
    record_event: Callable[..., InspectedEvent],
    django_assert_max_num_queries: Any,
) -> None:
    toggle(admin, environment, state)
    entry = AuditLog.objects.latest("pk")
    for number in range(20):
        AuditLog.objects.create(
            log=f"<b>{number}</b>",
            organisation=entry.organisation,
            project=entry.project,
            transaction=entry.transaction,
        )
    record_event()
    now = timezone.now()
    for number in range(120):
        record_event(process=number % 2, updated_at=now - timedelta(seconds=number + 1))
    browser.get(f"{base_path}live/")
    for path in ("", "panel/"):
        with django_assert_max_num_queries(12):
            response = browser.get(f"{base_path}live/{path}")
        assert b"<b>0</b>" not in response.content
        page = page_text(response)
        assert page.count("2 streams") == 50
        assert "and 18 more entries of the same change" in page


# In one transaction, each version is raised once.
@pytest.mark.django_db(transaction=True)
def test_inspector__real_time_off__switch_and_changes_are_listed_as_not_sent(
    browser: Client,
    base_path: str,
    project: Project,
    environment: Environment,
    admin: APIClient,
    state: FeatureState,
    processes: list[InspectedProcess],
) -> None:
    page = page_text(browser.get(f"{base_path}live/"))
    assert "Real-time updates are off" not in page
    assert "Nothing was sent in the last hour." in page
    minute(processes[0], environment, timezone.now(), streams=2)
    path = f"/api/v1/projects/{project.pk}/"
    assert admin.patch(path, {"enable_realtime_updates": False}, "json").status_code == 200
    toggle(admin, environment, state)
    response = browser.get(f"{base_path}live/")
    page = page_text(response)
    assert "Nothing is sent Real-time updates are off in Web. 2 applications of Development are connected" in page
    assert f'href="/projects/{project.pk}/settings/sdk/"' in response.content.decode()
    assert page.count("not sent real-time updates were off") == 2
    changed = page.index("Flag state updated for feature: banner by admin@example.com")
    assert changed < page.index("Real-time updates turned off for project: Web by admin@example.com")
    assert "The audit log has no entry" not in page
    # Inspection is off in the test settings.
    assert "REALTIME_INSPECTION is off" in page


def test_inspector__plan_without_real_time__gate_is_closed_by_the_plan(
    browser: Client, base_path: str, organisation: Organisation, settings: Settings
) -> None:
    settings.REALTIME_PLANS = ["enterprise"]
    Subscription.objects.update_or_create(organisation=organisation, defaults={"plan": "free"})
    page = page_text(browser.get(f"{base_path}live/"))
    assert f"The plan of {organisation.name} excludes real-time updates." in page


def test_inspector__streams_with_a_server_side_key__reason_and_name_for_admins_only(
    browser: Client,
    viewer: Client,
    base_path: str,
    environment: Environment,
    processes: list[InspectedProcess],
    django_assert_max_num_queries: Any,
) -> None:
    key = EnvironmentAPIKey.objects.create(environment=environment, name="Backend", key="ser.abc")
    page = page_text(browser.get(f"{base_path}live/"))
    assert "Wrong key" not in page
    assert f"No application of {environment.name} is connected." in page
    minute(processes[0], environment, timezone.now(), key=key.key)
    with django_assert_max_num_queries(12):
        page = page_text(browser.get(f"{base_path}live/"))
    assert "Wrong key 2 streams use the server-side key “Backend” of" in page
    assert f"the client-side key, {environment.api_key}" in page
    response = viewer.get(f"{base_path}live/")
    assert "Wrong key 2 streams use a server-side key of" in page_text(response)
    assert b"Backend" not in response.content
    assert b"ser.abc" not in response.content


def checked(browser: Client, base_path: str, key: str) -> str:
    """The answer of "Check a key"."""
    response = browser.post(f"{base_path}live/", {"key": key})
    found = re.search(r'<p class="notice[^"]*" role="status">(.*?)</p>', response.content.decode())
    assert found is not None, response.content
    return unescape(found[1])


def test_check_key__any_key__explained_as_far_as_the_user_may_know(
    browser: Client,
    viewer: Client,
    stranger: Client,
    base_path: str,
    environment: Environment,
    production: Environment,
    processes: list[InspectedProcess],
) -> None:
    server_key = EnvironmentAPIKey.objects.create(environment=environment, name="Backend", key="ser.abc")
    strangers = Organisation.objects.get(name="Strangers")
    foreign = Environment.objects.create(
        name="Theirs", project=Project.objects.create(name="Theirs", organisation=strangers)
    )
    foreign_key = EnvironmentAPIKey.objects.create(environment=foreign, name="Theirs", key="ser.theirs")
    for key in (foreign.api_key, foreign_key.key, "typo", server_key.key):
        minute(processes[0], foreign, timezone.now(), key=key, streams=3)
    assert checked(browser, base_path, f" {environment.api_key} ").startswith(f"This is the key of {environment.name}.")
    assert checked(browser, base_path, production.api_key).endswith(f"receives the events of {production.name}.")
    answer = checked(browser, base_path, server_key.key)
    assert answer.startswith(f"This is a server-side key of {environment.name}.")
    assert "3 streams with this key are open and receive no events." in answer
    unknown = "No environment that you may see has this key: it has a typing error, or it was deleted or revoked."
    # A key of another tenant is answered like one that no environment has.
    assert checked(browser, base_path, "typo") == unknown
    assert checked(browser, base_path, foreign.api_key) == unknown
    assert checked(browser, base_path, foreign_key.key) == unknown
    # The viewer may see one environment of the two.
    assert checked(viewer, base_path, production.api_key) == unknown
    for invalid in ("", "\0", "k" * 101):
        assert checked(browser, base_path, invalid) == "No environment can have such a key."
    assert stranger.post(f"{base_path}live/", {"key": "typo"}).status_code == 404
