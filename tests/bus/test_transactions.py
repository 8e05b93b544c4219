"""NOTIFY in the transaction of the change: PostgreSQL delivers it if and only if the transaction commits."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from unittest import mock

import pytest
from django.db import connection, transaction  # noqa: F401 (the condition of skipif)

from environments.models import Environment
from features.models import FeatureState
from projects.models import Project
from realtime import bus
from realtime.bus import eventstream, listening, postgres
from realtime.changes import publish, versions
from realtime.types import EnvironmentKey
from tests.bus.conftest import PATIENCE, Settings, state
from tests.support.patience import until
from tests.support.postgresql import another_session

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="only PostgreSQL has LISTEN and NOTIFY"),
]

Notified = Callable[[], tuple[str, datetime]]


@pytest.fixture
def notify_bus(settings: Settings, feature: object, production: object) -> Iterator[bus.Bus]:
    """A PostgreSQL bus, as the bus of this process."""
    settings.REALTIME_BUS = "postgres"
    yield bus.current()
    bus.current().close(PATIENCE)


@pytest.fixture
def notified(notify_bus: bus.Bus) -> Iterator[Notified]:
    """Returns the key and version of the next notification, which another session receives."""
    with another_session() as session:
        session.execute(f"LISTEN {postgres.CHANNEL}")

        def next_one() -> tuple[str, datetime]:
            for notification in session.notifies(timeout=PATIENCE, stop_after=1):
                event = json.loads(notification.payload)
                return event["channel"].removeprefix(eventstream.CHANNEL_PREFIX), eventstream.parse(event["data"])
            raise TimeoutError("nothing was notified")

        yield next_one


def toggle(state: FeatureState) -> datetime:
    """Toggle a flag. Returns the environment's new version."""
    state.refresh_from_db()
    state.enabled = not state.enabled
    state.save()
    return Environment.objects.get(pk=state.environment_id).updated_at


def test_notify__commit__notified_without_a_call_of_publish(
    notified: Notified, state: FeatureState, environment: Environment
) -> None:
    with mock.patch.object(publish, "publish"):
        version = toggle(state)
    assert notified() == (environment.api_key, version)


def test_notify__rollback__not_notified(notified: Notified, state: FeatureState, environment: Environment) -> None:
    with transaction.atomic():
        toggle(state)
        transaction.set_rollback(True)
    version = toggle(state)
    assert notified() == (environment.api_key, version)


def test_notify__savepoint_rolled_back__only_committed_versions_are_notified(
    notified: Notified, state: FeatureState, environment: Environment, production: Environment
) -> None:
    with transaction.atomic():
        versions.announce([production.pk])
        savepoint = transaction.savepoint()
        toggle(state)
        transaction.savepoint_rollback(savepoint)
    kept = Environment.objects.get(pk=production.pk)
    assert notified() == (production.api_key, kept.updated_at)
    version = toggle(state)
    assert notified() == (environment.api_key, version)


def test_notify__gate_closed__closing_is_notified_and_later_changes_are_not(
    notified: Notified, state: FeatureState, environment: Environment, project: Project
) -> None:
    project.enable_realtime_updates = False
    project.save()
    closed = Environment.objects.get(pk=environment.pk).updated_at
    assert notified() == (environment.api_key, closed)
    toggle(state)
    project.enable_realtime_updates = True
    project.save()
    opened = Environment.objects.get(pk=environment.pk).updated_at
    assert notified() == (environment.api_key, opened)


def test_notify__posted_version__notified(notified: Notified) -> None:
    sent = state(key=EnvironmentKey("external"))
    publish.publish([sent])
    assert notified() == ("external", sent.updated_at)


def test_notify__key_too_long_for_a_notification__change_does_not_fail(notified: Notified, state: FeatureState) -> None:
    from tests.bus.conftest import state as make_state

    with transaction.atomic():
        publish.enqueue([make_state(key=EnvironmentKey("k" * 9_000))])
        version = toggle(state)
    assert notified()[1] == version


def test_notify__queue_nearly_full__stops_notifying_until_there_is_space(
    notified: Notified, notify_bus: bus.Bus, state: FeatureState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "SILENCE_SECONDS", 0.02)
    # A new connection would notify again.
    monkeypatch.setattr(listening, "ANSWER_SECONDS", PATIENCE)
    monkeypatch.setattr(postgres, "MAX_QUEUE_USAGE", -1.0)
    notify_bus.start()
    until(lambda: "queue" in notify_bus.health().last_error)
    assert notify_bus.health().degraded
    not_notified = toggle(state)
    monkeypatch.setattr(postgres, "MAX_QUEUE_USAGE", 0.5)
    until(lambda: not notify_bus.health().degraded)
    notified_again = toggle(state)
    assert notified_again > not_notified
    assert notified()[1] == notified_again


def test_bus__no_bus_database_url__listens_on_the_default_database(
    notify_bus: bus.Bus, environment: Environment
) -> None:
    notify_bus.start()
    until(lambda: notify_bus.health().connected)
    assert notify_bus.health().since <= datetime.now(UTC)  # type: ignore[operator]
