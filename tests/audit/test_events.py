"""The events of a log entry, as the entry's page in the dashboard lists them."""

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
from tests.support.heard import Heard, listening
from users.models import FFAdminUser

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


class UndoError(Exception):
    pass


@pytest.fixture
def heard(environment: Environment, production: Environment) -> Iterator[Heard]:
    with listening(environment, production) as heard:
        yield heard


class Event(NamedTuple):
    environment: str
    """Its name."""
    updated_at: str
    """As SDKs get it."""
    live: bool


LISTED = re.compile(r'<th scope="row">([^<]*)</th><td><code>([\d.]+)</code></td>.*?<span class="state( on)?">')

EventsOf = Callable[[AuditLog], list[Event]]


@pytest.fixture
def events_of(user: FFAdminUser, organisation: Any) -> EventsOf:
    """Reads an entry's events from its page."""
    browser = Client()
    browser.force_login(user)

    def read(entry: AuditLog) -> list[Event]:
        page = browser.get(f"/projects/{entry.project_id}/audit-log/{entry.pk}/")
        assert page.status_code == 200
        return [Event(name, version, bool(on)) for name, version, on in LISTED.findall(page.content.decode())]

    return read


@pytest.fixture
def logs_of(events_of: EventsOf) -> Callable[[Event], list[str]]:
    """The texts of the entries whose pages list an event, the oldest first."""
    return lambda event: [
        entry.log for entry in AuditLog.objects.order_by("pk") if entry.project_id and event in events_of(entry)
    ]


def event(heard: Heard, environment: Environment) -> Event:
    """The one that went out for the environment."""
    (updated_at,) = heard.of(environment)
    return Event(environment.name, epoch_seconds(updated_at), True)


def by_text(text: str, environment: Environment | None = None) -> AuditLog:
    return AuditLog.objects.get(log=text, environment=environment and environment.pk)


def test_toggle__announced__entry_and_event_lead_to_each_other(
    admin: APIClient,
    of_environment: str,
    environment: Environment,
    state: FeatureState,
    heard: Heard,
    events_of: EventsOf,
    logs_of: Callable[[Event], list[str]],
) -> None:
    heard.clear()
    body = {"enabled": True, "feature_state_value": "v"}
    assert admin.put(f"{of_environment}featurestates/{state.pk}/", body, format="json").status_code == 200

    event_ = event(heard, environment)
    assert logs_of(event_) == [
        "Flag state updated for feature: banner",
        "Remote config value updated for feature: banner",
    ]
    for entry in AuditLog.objects.all():
        assert events_of(entry) == [event_]


def test_feature__in_two_environments__each_event_has_its_own_entries(
    admin: APIClient,
    of_project: str,
    environment: Environment,
    production: Environment,
    heard: Heard,
    events_of: EventsOf,
) -> None:
    assert admin.post(f"{of_project}features/", {"name": "f"}, format="json").status_code == 201

    text = "New Flag / Remote Config created: f"
    here, there = event(heard, environment), event(heard, production)
    whole = AuditLog.objects.get(log=text, environment=None)
    for each, place in ((here, environment), (there, production)):
        entries = [entry for entry in AuditLog.objects.all() if each in events_of(entry)]
        assert {entry.environment_id for entry in entries} == {None, place.pk}
        assert events_of(by_text(text, place)) == [each]
    assert events_of(whole) == [here, there]


def test_segment__edited__all_environments_of_its_project(
    admin: APIClient,
    of_project: str,
    segment: Segment,
    environment: Environment,
    production: Environment,
    heard: Heard,
    events_of: EventsOf,
    logs_of: Callable[[Event], list[str]],
) -> None:
    heard.clear()
    condition = {"operator": "EQUAL", "property": "plan", "value": "basic"}
    body = {"name": segment.name, "rules": [{"type": "ALL", "conditions": [condition]}]}
    assert admin.put(f"{of_project}segments/{segment.pk}/", body, format="json").status_code == 200

    here, there = event(heard, environment), event(heard, production)
    assert logs_of(here) == logs_of(there) == ["Segment updated: professionals"]
    assert events_of(AuditLog.objects.get()) == [here, there]


def test_two_changes__two_requests__each_its_own(
    admin: APIClient,
    of_environment: str,
    environment: Environment,
    state: FeatureState,
    heard: Heard,
    events_of: EventsOf,
) -> None:
    heard.clear()
    for enabled in (True, False):
        body = {"enabled": enabled}
        assert admin.patch(f"{of_environment}featurestates/{state.pk}/", body, format="json").status_code == 200

    entries = AuditLog.objects.order_by("pk")
    assert [[each.updated_at for each in events_of(entry)] for entry in entries] == [
        [epoch_seconds(updated_at)] for updated_at in heard.of(environment)
    ]


def test_silent_change__identity_override__entry_without_event(
    admin: APIClient, of_environment: str, environment: Environment, feature: Feature, heard: Heard, events_of: EventsOf
) -> None:
    identity = admin.post(f"{of_environment}identities/", {"identifier": "u1"}, format="json").json()["id"]
    heard.clear()
    body = {"feature": feature.pk, "enabled": True}
    path = f"{of_environment}identities/{identity}/featurestates/"
    assert admin.post(path, body, format="json").status_code == 201

    assert heard.of(environment) == []
    assert [events_of(entry) for entry in AuditLog.objects.all()] == [[]]


def test_unchanged__segment_saved_as_it_was__entry_without_event(
    admin: APIClient, of_project: str, segment: Segment, environment: Environment, heard: Heard, events_of: EventsOf
) -> None:
    heard.clear()
    path = f"{of_project}segments/{segment.pk}/"
    assert admin.patch(path, {"description": "silent"}, format="json").status_code == 200

    assert heard.of(environment) == []
    assert events_of(AuditLog.objects.get()) == []


def test_shell__no_actor__event_without_entries(
    environment: Environment, state: FeatureState, heard: Heard, logs_of: Callable[[Event], list[str]]
) -> None:
    heard.clear()
    state.enabled = True
    state.save()

    assert logs_of(event(heard, environment)) == []


def test_real_time_off__version_raised__known_but_not_live(
    admin: APIClient,
    of_environment: str,
    project: Project,
    environment: Environment,
    state: FeatureState,
    events_of: EventsOf,
) -> None:
    project.enable_realtime_updates = False
    project.save()
    admin.patch(f"{of_environment}featurestates/{state.pk}/", {"enabled": True}, format="json")

    environment.refresh_from_db()
    assert events_of(AuditLog.objects.get()) == [Event(environment.name, epoch_seconds(environment.updated_at), False)]


def test_savepoint__rolled_back_before_a_change__what_is_left_belongs_together(
    environment: Environment, state: FeatureState, feature: Feature, heard: Heard, logs_of: Callable[[Event], list[str]]
) -> None:
    heard.clear()
    with actor.system(), transaction.atomic():
        try:
            with transaction.atomic():
                state.enabled = True
                state.save()
                raise UndoError
        except UndoError:
            state.refresh_from_db()
        feature.description = "new"
        feature.save()

    assert logs_of(event(heard, environment)) == ["Flag / Remote Config updated: banner"]
    assert AnnouncedVersion.objects.filter(environment=environment).latest("id").updated_at in heard.of(environment)


def test_savepoint__rolled_back_by_hand_between_changes__what_is_left_belongs_together(
    environment: Environment,
    state: FeatureState,
    feature: Feature,
    heard: Heard,
    events_of: EventsOf,
    logs_of: Callable[[Event], list[str]],
) -> None:
    heard.clear()
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

    event_ = event(heard, environment)
    assert logs_of(event_) == ["Flag / Remote Config updated: banner", "Flag state updated for feature: banner"]
    assert events_of(AuditLog.objects.get(environment=environment.pk)) == [event_]


def test_transaction__rolled_back__nothing_kept(environment: Environment, state: FeatureState, heard: Heard) -> None:
    before = AnnouncedVersion.objects.count()
    with actor.system(), transaction.atomic():
        state.enabled = True
        state.save()
        transaction.set_rollback(True)

    assert (AnnouncedVersion.objects.count(), AuditLog.objects.count()) == (before, 0)


def test_entry__of_another_project_in_one_transaction__not_mixed_up(
    organisation: Any,
    environment: Environment,
    feature: Feature,
    heard: Heard,
    events_of: EventsOf,
    logs_of: Callable[[Event], list[str]],
) -> None:
    other = Project.objects.create(name="Other", organisation=organisation, enable_realtime_updates=True)
    theirs = Feature.objects.create(name="theirs", project=other)
    heard.clear()
    with actor.system(), transaction.atomic():
        for each in (feature, theirs):
            each.description = "new"
            each.save()

    assert logs_of(event(heard, environment)) == ["Flag / Remote Config updated: banner"]
    assert events_of(AuditLog.objects.get(project=other.pk)) == []


def test_environment__deleted__its_versions_are_forgotten_and_its_entries_kept(
    admin: APIClient, of_environment: str, environment: Environment, state: FeatureState, events_of: EventsOf
) -> None:
    admin.patch(f"{of_environment}featurestates/{state.pk}/", {"enabled": True}, format="json")
    assert admin.delete(of_environment).status_code == 204

    assert events_of(AuditLog.objects.get()) == []


def test_bulk_writer__announces_and_records__joined(
    environment: Environment, feature: Feature, heard: Heard, logs_of: Callable[[Event], list[str]]
) -> None:
    heard.clear()
    with actor.system(), transaction.atomic():
        versions.announce([environment.pk])
        record(bulk.overrides_reordered(environment, feature, ["a", "b"], ["b", "a"]))

    assert logs_of(event(heard, environment)) == ["Segment overrides re-ordered for feature 'banner'."]
