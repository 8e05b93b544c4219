"""NOTIFY as part of the change's transaction: told exactly if that commits."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from unittest import mock

import psycopg
import pytest
from django.db import connection, transaction

from environments.models import Environment
from features.models import FeatureState
from projects.models import Project
from realtime import bus
from realtime.bus import eventstream, postgres
from realtime.changes import publish, versions
from realtime.types import EnvironmentKey
from tests.bus.conftest import PATIENCE, Settings, state, until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="LISTEN and NOTIFY are PostgreSQL's"),
]

Notified = Callable[[], tuple[str, datetime]]


@pytest.fixture
def notify_bus(settings: Settings, feature: object, production: object) -> Iterator[bus.Bus]:
    """PostgreSQL as this process's bus, once there is something to change."""
    settings.REALTIME_BUS = "postgres"
    yield bus.current()
    bus.current().close(PATIENCE)


@pytest.fixture
def notified(notify_bus: bus.Bus) -> Iterator[Notified]:
    """The key and version of the next notification; another session listens."""
    parameters = connection.get_connection_params()
    address = {name: parameters[name] for name in ("dbname", "user", "password", "host", "port") if name in parameters}
    with psycopg.connect(**address, autocommit=True) as session:
        session.execute(f"LISTEN {postgres.CHANNEL}")

        def next_one() -> tuple[str, datetime]:
            for notification in session.notifies(timeout=PATIENCE, stop_after=1):
                event = json.loads(notification.payload)
                return event["channel"].removeprefix(eventstream.CHANNEL_PREFIX), eventstream.parse(event["data"])
            raise TimeoutError("nothing was notified")

        yield next_one


def toggle(state: FeatureState) -> datetime:
    """Change what SDKs read. Returns the environment's version then."""
    state.refresh_from_db()
    state.enabled = not state.enabled
    state.save()
    return Environment.objects.get(pk=state.environment_id).updated_at


def test_notify__commit__told_though_the_process_says_nothing_after_it(
    notified: Notified, state: FeatureState, environment: Environment
) -> None:
    with mock.patch.object(publish, "publish"):
        moved = toggle(state)
    assert notified() == (environment.api_key, moved)


def test_notify__rollback__nothing_is_told(notified: Notified, state: FeatureState, environment: Environment) -> None:
    with transaction.atomic():
        toggle(state)
        transaction.set_rollback(True)
    moved = toggle(state)
    assert notified() == (environment.api_key, moved)


def test_notify__savepoint_rolled_back__only_what_is_kept_is_told(
    notified: Notified, state: FeatureState, environment: Environment, production: Environment
) -> None:
    with transaction.atomic():
        versions.announce([production.pk])
        savepoint = transaction.savepoint()
        toggle(state)
        transaction.savepoint_rollback(savepoint)
    kept = Environment.objects.get(pk=production.pk)
    assert notified() == (production.api_key, kept.updated_at)
    moved = toggle(state)
    assert notified() == (environment.api_key, moved)


def test_notify__gate_that_is_closed__is_announced_and_changes_after_it_are_not(
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


def test_notify__word_of_an_external_publisher__is_told_without_a_change_of_ours(notified: Notified) -> None:
    said = state(key=EnvironmentKey("external"))
    publish.publish([said])
    assert notified() == ("external", said.updated_at)


def test_notify__key_that_nobody_can_ask_for__does_not_fail_the_change(notified: Notified, state: FeatureState) -> None:
    from tests.bus.conftest import state as version

    with transaction.atomic():
        publish.enqueue([version(key=EnvironmentKey("k" * 9_000))])
        moved = toggle(state)
    assert notified()[1] == moved


def test_notify__queue_that_fills_up__changes_go_on_without_and_it_begins_again(
    notified: Notified, notify_bus: bus.Bus, state: FeatureState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "SILENCE_SECONDS", 0.02)
    # With each new connection it would begin again.
    monkeypatch.setattr(postgres, "ANSWER_SECONDS", PATIENCE)
    monkeypatch.setattr(postgres, "FULL", -1.0)
    notify_bus.start()
    until(lambda: "queue" in notify_bus.health().last_error)
    assert notify_bus.health().degraded
    unheard = toggle(state)
    monkeypatch.setattr(postgres, "FULL", 0.5)
    until(lambda: not notify_bus.health().degraded)
    heard = toggle(state)
    assert heard > unheard
    assert notified()[1] == heard


def test_bus__no_url_of_its_own__listens_on_the_default_database(notify_bus: bus.Bus, environment: Environment) -> None:
    notify_bus.start()
    until(lambda: notify_bus.health().connected)
    assert notify_bus.health().since <= datetime.now(UTC)  # type: ignore[operator]
