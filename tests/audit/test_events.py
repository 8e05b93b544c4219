"""The events of a log entry, as the entry's page in the dashboard shows them."""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from django.db import transaction
from django.test import Client
from rest_framework.test import APIClient

from audit import bulk
from audit.models import AnnouncedVersion, AuditLog
from audit.recording import record
from core import actor
from environments.models import Environment
from features.models import Feature, FeatureState
from projects.models import Project
from realtime.changes import versions
from realtime.types import epoch_seconds
from segments.models import Segment
from tests.support.events import Recorder, recorded_events
from users.models import FFAdminUser

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


class RollbackError(Exception):
    pass


@pytest.fixture
def recorded(environment: Environment, production: Environment) -> Iterator[Recorder]:
    with recorded_events(environment, production) as recorded:
        yield recorded


class Event(NamedTuple):
    environment: str
    """The environment's name."""
    updated_at: str
    """The version in the format of events."""
    published: bool


EVENT_ROW = re.compile(r'<th scope="row">([^<]*)</th><td><code>([\d.]+)</code></td>.*?<span class="state( on)?">')

EventsOf = Callable[[AuditLog], list[Event]]


@pytest.fixture
def events_of(user: FFAdminUser, organisation: Any) -> EventsOf:
    """Reads an entry's events from its page."""
    browser = Client()
    browser.force_login(user)

    def read(entry: AuditLog) -> list[Event]:
        page = browser.get(f"/projects/{entry.project_id}/audit-log/{entry.pk}/")
        assert page.status_code == 200
        rows = EVENT_ROW.findall(page.content.decode())
        return [Event(name, version, bool(published)) for name, version, published in rows]

    return read


@pytest.fixture
def logs_of(events_of: EventsOf) -> Callable[[Event], list[str]]:
    """The texts of the entries whose pages list an event, the oldest first."""
    return lambda event: [
        entry.log for entry in AuditLog.objects.order_by("pk") if entry.project_id and event in events_of(entry)
    ]


def published_event(recorded: Recorder, environment: Environment) -> Event:
    """The only event that was published for the environment."""
    (updated_at,) = recorded.of(environment)
    return Event(environment.name, epoch_seconds(updated_at), True)


def test_state__changed__its_entries_have_its_event(
    admin: APIClient,
    environment_path: str,
    environment: Environment,
    state: FeatureState,
    recorded: Recorder,
    events_of: EventsOf,
    logs_of: Callable[[Event], list[str]],
) -> None:
    recorded.clear()
    body = {"enabled": True, "feature_state_value": "v"}
    assert admin.put(f"{environment_path}featurestates/{state.pk}/", body, format="json").status_code == 200

    event = published_event(recorded, environment)
    assert logs_of(event) == [
        "Flag state updated for feature: banner",
        "Remote config value updated for feature: banner",
    ]
    for entry in AuditLog.objects.all():
        assert events_of(entry) == [event]


def test_feature__in_two_environments__each_event_has_entries_of_its_environment(
    admin: APIClient,
    project_path: str,
    environment: Environment,
    production: Environment,
    recorded: Recorder,
    events_of: EventsOf,
) -> None:
    assert admin.post(f"{project_path}features/", {"name": "f"}, format="json").status_code == 201

    text = "New Flag / Remote Config created: f"
    events = [published_event(recorded, each) for each in (environment, production)]
    for event, its_environment in zip(events, (environment, production), strict=True):
        entries = [entry for entry in AuditLog.objects.all() if event in events_of(entry)]
        assert {entry.environment_id for entry in entries} == {None, its_environment.pk}
        assert events_of(AuditLog.objects.get(log=text, environment=its_environment.pk)) == [event]
    assert events_of(AuditLog.objects.get(log=text, environment=None)) == events


def test_segment__changed__entry_has_the_events_of_all_environments(
    admin: APIClient,
    project_path: str,
    segment: Segment,
    environment: Environment,
    production: Environment,
    recorded: Recorder,
    events_of: EventsOf,
    logs_of: Callable[[Event], list[str]],
) -> None:
    recorded.clear()
    condition = {"operator": "EQUAL", "property": "plan", "value": "basic"}
    body = {"name": segment.name, "rules": [{"type": "ALL", "conditions": [condition]}]}
    assert admin.put(f"{project_path}segments/{segment.pk}/", body, format="json").status_code == 200

    events = [published_event(recorded, each) for each in (environment, production)]
    assert [logs_of(event) for event in events] == [["Segment updated: professionals"]] * 2
    assert events_of(AuditLog.objects.get()) == events


def test_entries__of_two_requests__each_has_the_event_of_its_request(
    admin: APIClient,
    environment_path: str,
    environment: Environment,
    state: FeatureState,
    recorded: Recorder,
    events_of: EventsOf,
) -> None:
    recorded.clear()
    for enabled in (True, False):
        body = {"enabled": enabled}
        assert admin.patch(f"{environment_path}featurestates/{state.pk}/", body, format="json").status_code == 200

    entries = AuditLog.objects.order_by("pk")
    assert [[event.updated_at for event in events_of(entry)] for entry in entries] == [
        [epoch_seconds(updated_at)] for updated_at in recorded.of(environment)
    ]


def test_identity_override__created__entry_without_event(
    admin: APIClient,
    environment_path: str,
    environment: Environment,
    feature: Feature,
    recorded: Recorder,
    events_of: EventsOf,
) -> None:
    identity = admin.post(f"{environment_path}identities/", {"identifier": "u1"}, format="json").json()["id"]
    recorded.clear()
    body = {"feature": feature.pk, "enabled": True}
    path = f"{environment_path}identities/{identity}/featurestates/"
    assert admin.post(path, body, format="json").status_code == 201

    assert recorded.of(environment) == []
    assert [events_of(entry) for entry in AuditLog.objects.all()] == [[]]


def test_segment__only_its_description_changed__entry_without_event(
    admin: APIClient,
    project_path: str,
    segment: Segment,
    environment: Environment,
    recorded: Recorder,
    events_of: EventsOf,
) -> None:
    recorded.clear()
    path = f"{project_path}segments/{segment.pk}/"
    assert admin.patch(path, {"description": "new"}, format="json").status_code == 200

    assert recorded.of(environment) == []
    assert events_of(AuditLog.objects.get()) == []


def test_change__outside_of_a_request__event_without_entries(
    environment: Environment, state: FeatureState, recorded: Recorder, logs_of: Callable[[Event], list[str]]
) -> None:
    recorded.clear()
    state.enabled = True
    state.save()

    assert logs_of(published_event(recorded, environment)) == []


def test_streaming_disabled__version_raised__event_is_not_published(
    admin: APIClient,
    environment_path: str,
    project: Project,
    environment: Environment,
    state: FeatureState,
    events_of: EventsOf,
) -> None:
    project.enable_realtime_updates = False
    project.save()
    admin.patch(f"{environment_path}featurestates/{state.pk}/", {"enabled": True}, format="json")

    environment.refresh_from_db()
    assert events_of(AuditLog.objects.get()) == [Event(environment.name, epoch_seconds(environment.updated_at), False)]


def test_savepoint__rolled_back_before_a_change__committed_entries_have_the_event(
    environment: Environment,
    state: FeatureState,
    feature: Feature,
    recorded: Recorder,
    logs_of: Callable[[Event], list[str]],
) -> None:
    recorded.clear()
    with actor.system(), transaction.atomic():
        try:
            with transaction.atomic():
                state.enabled = True
                state.save()
                raise RollbackError
        except RollbackError:
            state.refresh_from_db()
        feature.description = "new"
        feature.save()

    assert logs_of(published_event(recorded, environment)) == ["Flag / Remote Config updated: banner"]
    assert AnnouncedVersion.objects.filter(environment=environment).latest("id").updated_at in recorded.of(environment)


def test_savepoint__rolled_back_between_changes__committed_entries_have_the_event(
    environment: Environment,
    state: FeatureState,
    feature: Feature,
    recorded: Recorder,
    events_of: EventsOf,
    logs_of: Callable[[Event], list[str]],
) -> None:
    recorded.clear()
    with actor.system(), transaction.atomic():
        feature.description = "new"
        feature.save()
        savepoint = transaction.savepoint()
        state.enabled = True
        state.save()
        transaction.savepoint_rollback(savepoint)
        state.refresh_from_db()
        state.enabled = True
        state.save()

    event = published_event(recorded, environment)
    assert logs_of(event) == ["Flag / Remote Config updated: banner", "Flag state updated for feature: banner"]
    assert events_of(AuditLog.objects.get(environment=environment.pk)) == [event]


def test_transaction__rolled_back__nothing_stored(
    environment: Environment, state: FeatureState, recorded: Recorder
) -> None:
    before = AnnouncedVersion.objects.count()
    with actor.system(), transaction.atomic():
        state.enabled = True
        state.save()
        transaction.set_rollback(True)

    assert (AnnouncedVersion.objects.count(), AuditLog.objects.count()) == (before, 0)


def test_transaction__changes_two_projects__entries_have_only_events_of_their_project(
    organisation: Any,
    environment: Environment,
    feature: Feature,
    recorded: Recorder,
    events_of: EventsOf,
    logs_of: Callable[[Event], list[str]],
) -> None:
    other = Project.objects.create(name="Other", organisation=organisation, enable_realtime_updates=True)
    other_feature = Feature.objects.create(name="other", project=other)
    recorded.clear()
    with actor.system(), transaction.atomic():
        for changed in (feature, other_feature):
            changed.description = "new"
            changed.save()

    assert logs_of(published_event(recorded, environment)) == ["Flag / Remote Config updated: banner"]
    assert events_of(AuditLog.objects.get(project=other.pk)) == []


def test_environment__deleted__its_versions_are_deleted_and_its_entries_kept(
    admin: APIClient, environment_path: str, environment: Environment, state: FeatureState, events_of: EventsOf
) -> None:
    admin.patch(f"{environment_path}featurestates/{state.pk}/", {"enabled": True}, format="json")
    assert admin.delete(environment_path).status_code == 204

    assert events_of(AuditLog.objects.get()) == []


def test_bulk_write__raises_the_version_and_records__entry_has_the_event(
    environment: Environment, feature: Feature, recorded: Recorder, logs_of: Callable[[Event], list[str]]
) -> None:
    recorded.clear()
    with actor.system(), transaction.atomic():
        versions.announce([environment.pk])
        record(bulk.overrides_reordered(environment, feature, ["a", "b"], ["b", "a"]))

    assert logs_of(published_event(recorded, environment)) == ["Segment overrides re-ordered for feature 'banner'."]
