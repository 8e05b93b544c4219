"""The inspector's page: what it shows of the rows that servers write, and to whom."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from api_keys.models import MasterAPIKey
from audit.models import AuditLog
from environments.models import Environment
from features.models import Feature, FeatureState
from organisations.models import Organisation, OrganisationRole, UserOrganisation
from projects.models import Project
from realtime.inspector.durations import Durations
from realtime.inspector.models import InspectedEvent, InspectedMinute, InspectedProcess, minute_of
from realtime.types import epoch_seconds
from tests.dashboard.conftest import signed_in_browser
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db


def times(*milliseconds: float) -> dict[str, int]:
    found = Durations()
    for each in milliseconds:
        found.add(each)
    return found.stored()


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
def told(environment: Environment, processes: list[InspectedProcess]) -> Callable[..., InspectedEvent]:
    """That a process has written an event; by default the environment's present version, to two streams."""

    def note(process: int = 0, **columns: Any) -> InspectedEvent:
        environment.refresh_from_db()
        at = columns.get("updated_at", environment.updated_at)
        usual = {
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
            process=processes[process].pk, environment=environment.api_key, **usual | columns
        )

    return note


def minute(process: InspectedProcess, environment: Environment, at: datetime, **columns: Any) -> None:
    usual = {"streams": 2, "published": 1, "heard": 1, "written": 2, "superseded": 0, "times": times(9, 24)}
    InspectedMinute.objects.create(
        process=process.pk, environment=environment.api_key, minute=minute_of(at), **usual | columns
    )


def text_of(answer: Any) -> str:
    """The page's text alone."""
    assert answer.status_code == 200, answer.content
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.content.decode())).split())


def address_of(panel: Any) -> str:
    """Where the panel asks for what is newer than itself."""
    found = re.search(rb'hx-get="([^"]+)"', panel.content)
    assert found is not None
    return found[1].decode()


def toggle(admin: APIClient, environment: Environment, state: FeatureState, **headers: str) -> None:
    path = f"/api/v1/environments/{environment.api_key}/featurestates/{state.pk}/"
    state.refresh_from_db()
    answer = admin.patch(path, {"enabled": not state.enabled}, "json", headers=headers)
    assert answer.status_code == 200, answer.content


def test_live__streams_and_events__figures_causes_and_who(
    browser: Client,
    admin: APIClient,
    place: str,
    environment: Environment,
    state: FeatureState,
    organisation: Organisation,
    processes: list[InspectedProcess],
    told: Callable[..., InspectedEvent],
) -> None:
    now = timezone.now()
    minute(processes[0], environment, now, streams=3)
    minute(processes[1], environment, now - timedelta(minutes=20), streams=4, times=times(40))
    toggle(admin, environment, state)
    told()
    told(process=1, written=1, superseded=5, healed=True, times=times(504))
    old = told(updated_at=now - timedelta(minutes=30), written=0, times={}, written_at=None, committed_at=None)

    answer = browser.get(f"{place}live/")
    assert "<web>" not in answer.content.decode()
    page = text_of(answer)
    assert "Streams open now 7 in 2 of 2 processes" in page
    assert "<web>-1 4001" in page
    assert "Flag state updated for feature: banner by admin@example.com" in page
    # Since the commit, four milliseconds after the version's time.
    figures = re.search(r"3 streams p50 ([\d.]+) · p99 ([\d.]+) ms", page)
    assert figures is not None, page
    assert [float(each) for each in figures.groups()] == pytest.approx([20, 500], rel=0.01)
    assert "superseded for 5" in page
    assert "healed" in page
    assert "2 by <web>-1 4001, 1 by <web>-2 4002" in page
    assert f"version {epoch_seconds(environment.updated_at)}" in page
    assert (
        f"Changed outside of the API: the log has no entry. version {epoch_seconds(old.updated_at)} no stream" in page
    )
    # One of the two minutes is far to the right, or next to it if another has begun meanwhile; both have their dots.
    assert answer.content.decode().count("h0") == 4
    assert re.search(r"M5[89]\.5", answer.content.decode())
    assert "curl -N http://testserver/sse/environments/" in page

    # A key of the organisation has no e-mail address.
    _, key = MasterAPIKey.objects.create_key(name="deploys", organisation=organisation)
    toggle(APIClient(), environment, state, Authorization=f"Api-Key {key}")
    told()
    assert "by API key deploys" in text_of(browser.get(f"{place}live/"))


def test_panel__unchanged__no_content_until_something_is_new(
    browser: Client, place: str, told: Callable[..., InspectedEvent]
) -> None:
    first = browser.get(f"{place}live/panel/")
    assert first.content.startswith(b'<div id="inspection"')
    assert float(first["X-Server-Time"]) == pytest.approx(timezone.now().timestamp() * 1_000, abs=60_000)
    again = browser.get(address_of(first))
    if again.status_code == 200:  # A minute has begun meanwhile, and the plots with it.
        again = browser.get(address_of(again))
    assert (again.status_code, again.content) == (204, b"")
    told()
    assert "2 streams" in text_of(browser.get(address_of(first)))


def test_live__member_of_the_environment__causes_only_with_the_audit_log(
    place: str,
    environment: Environment,
    project: Project,
    organisation: Organisation,
    admin: APIClient,
    state: FeatureState,
    told: Callable[..., InspectedEvent],
    member_browser: Client,
    django_assert_max_num_queries: Any,
) -> None:
    assert member_browser.get(f"{place}live/").status_code == 404
    assert member_browser.get(f"{place}live/panel/").status_code == 404
    toggle(admin, environment, state)
    told()
    viewer = FFAdminUser.objects.create_user("v@example.com", "pa55-word-1", first_name="V", last_name="V")
    UserOrganisation.objects.create(user=viewer, organisation=organisation, role=OrganisationRole.USER)
    rights = project.userpermission.create(user=viewer)
    rights.permissions.add("VIEW_PROJECT")
    environment.userpermission.create(user=viewer).permissions.add("VIEW_ENVIRONMENT")
    window = signed_in_browser(viewer)
    page = text_of(window.get(f"{place}live/"))
    assert "2 streams" in page
    assert "admin@example.com" not in page
    assert "Flag state updated" not in page
    assert "which your account may not read" in page
    rights.permissions.add("VIEW_AUDIT_LOG")
    for path in ("", "panel/"):
        with django_assert_max_num_queries(12):
            page = text_of(window.get(f"{place}live/{path}"))
        assert "Flag state updated for feature: banner by admin@example.com" in page


def test_live__very_many_events_with_many_entries__twelve_queries_and_few_lines_each(
    browser: Client,
    admin: APIClient,
    place: str,
    environment: Environment,
    state: FeatureState,
    told: Callable[..., InspectedEvent],
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
    told()
    now = timezone.now()
    for number in range(120):
        told(process=number % 2, updated_at=now - timedelta(seconds=number + 1))
    browser.get(f"{place}live/")
    for path in ("", "panel/"):
        with django_assert_max_num_queries(12):
            answer = browser.get(f"{place}live/{path}")
        assert b"<b>0</b>" not in answer.content
        page = text_of(answer)
        assert page.count("2 streams") == 50
        assert "and 18 more entries of the same change" in page


def test_live__real_time_off__says_so_and_leads_to_the_settings(
    browser: Client, place: str, project: Project, feature: Feature
) -> None:
    page = text_of(browser.get(f"{place}live/"))
    assert "Real-time updates are off" not in page
    assert "Nothing was sent in the last hour." in page
    Project.objects.filter(pk=project.pk).update(enable_realtime_updates=False)
    answer = browser.get(f"{place}live/")
    assert "Real-time updates are off in Web" in text_of(answer)
    assert f'href="/projects/{project.pk}/settings/sdk/"' in answer.content.decode()
    # This server keeps no record in tests, and says that as well.
    assert "REALTIME_INSPECTION is off" in text_of(answer)
