"""Promises I1 and I2: one event per commit, none for a rollback, and versions that only increase."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from unittest import mock

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from psycopg import sql

from environments.identities.models import Identity
from environments.models import Environment
from features.models import Feature, FeatureState
from organisations.models import Organisation, Subscription
from projects.models import Project
from realtime import bus
from realtime.bus import eventstream
from realtime.changes import versions
from realtime.hosts import EmbeddedHost
from realtime.types import TICK, first_readable
from tests.support.events import Recorder

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


class RollbackError(Exception):
    pass


@contextmanager
def rolled_back() -> Iterator[None]:
    """A transaction that is rolled back, or a savepoint inside of a transaction."""
    try:
        with transaction.atomic():
            yield
            raise RollbackError
    except RollbackError:
        return


def version(environment: Environment) -> datetime:
    return Environment.objects.values_list("updated_at", flat=True).get(pk=environment.pk)


def revision(environment: Environment) -> int:
    return Environment.objects.values_list("revision", flat=True).get(pk=environment.pk)


def toggle(state: FeatureState) -> None:
    state.enabled = not state.enabled
    state.save()


def test_commit__one_change__one_event_with_the_version_of_the_row(
    recorded: Recorder, state: FeatureState, environment: Environment, production: Environment
) -> None:
    recorded.clear()
    toggle(state)
    assert recorded.of(environment) == [version(environment)]
    assert recorded.of(production) == []


def test_commit__several_changes_in_one_transaction__one_event_per_environment(
    recorded: Recorder, state: FeatureState, feature: Feature, environment: Environment, production: Environment
) -> None:
    recorded.clear()
    with transaction.atomic():
        for _ in range(5):
            toggle(state)
        feature.description = "new"
        feature.save()
    assert recorded.of(environment) == [version(environment)]
    assert recorded.of(production) == [version(production)]


def test_commit__several_changes_in_one_transaction__versions_are_raised_once(
    recorded: Recorder, state: FeatureState, environment: Environment
) -> None:
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        for _ in range(5):
            toggle(state)
    updates = [
        query for query in queries if "environments_environment" in query["sql"] and "UPDATE" in query["sql"][:6]
    ]
    assert len(updates) == 1


def test_rollback__whole_transaction__no_event_and_the_old_version(
    recorded: Recorder, state: FeatureState, environment: Environment
) -> None:
    before = version(environment)
    recorded.clear()
    with rolled_back():
        toggle(state)
    assert recorded.of(environment) == []
    assert version(environment) == before


def test_rollback__atomic_savepoint_only__no_event(
    recorded: Recorder, state: FeatureState, environment: Environment
) -> None:
    before = version(environment)
    recorded.clear()
    with transaction.atomic(), rolled_back():
        toggle(state)
    assert recorded.of(environment) == []
    assert version(environment) == before


def test_rollback__savepoint_then_another_change__one_event_with_the_later_version(
    recorded: Recorder, state: FeatureState, environment: Environment
) -> None:
    before = version(environment)
    recorded.clear()
    with transaction.atomic():
        with rolled_back():
            toggle(state)
        state.refresh_from_db()
        toggle(state)
    assert recorded.of(environment) == [version(environment)]
    assert version(environment) != before


def test_rollback__savepoint_after_a_change__first_change_is_published(
    recorded: Recorder, state: FeatureState, environment: Environment
) -> None:
    recorded.clear()
    with transaction.atomic():
        toggle(state)
        with rolled_back():
            toggle(state)
    assert recorded.of(environment) == [version(environment)]


def test_rollback__manual_savepoint__no_event(
    recorded: Recorder, state: FeatureState, environment: Environment
) -> None:
    before = version(environment)
    recorded.clear()
    with transaction.atomic():
        savepoint = transaction.savepoint()
        toggle(state)
        transaction.savepoint_rollback(savepoint)
    assert recorded.of(environment) == []
    assert version(environment) == before


def test_rollback__manual_savepoint_then_another_change__one_event(
    recorded: Recorder, state: FeatureState, environment: Environment
) -> None:
    recorded.clear()
    with transaction.atomic():
        savepoint = transaction.savepoint()
        toggle(state)
        transaction.savepoint_rollback(savepoint)
        state.refresh_from_db()
        toggle(state)
    assert recorded.of(environment) == [version(environment)]


def test_rollback__manual_savepoint_between_two_changes__one_event(
    recorded: Recorder, state: FeatureState, environment: Environment
) -> None:
    recorded.clear()
    with transaction.atomic():
        toggle(state)
        savepoint = transaction.savepoint()
        toggle(state)
        transaction.savepoint_rollback(savepoint)
        state.refresh_from_db()
        toggle(state)
    assert recorded.of(environment) == [version(environment)]


def test_version__clock_set_back__increases(recorded: Recorder, state: FeatureState, environment: Environment) -> None:
    before = version(environment)
    with mock.patch("django.utils.timezone.now", return_value=timezone.now() - timedelta(hours=1)):
        toggle(state)
        toggle(state)
    assert version(environment) == first_readable(first_readable(before + TICK) + TICK)


def test_version__environment_saved_from_an_old_instance__unchanged(
    recorded: Recorder, state: FeatureState, environment: Environment
) -> None:
    old = Environment.objects.get(pk=environment.pk)
    toggle(state)
    raised, revision_before = version(environment), revision(environment)
    old.banner_text = "Careful"
    old.save()
    assert version(environment) == raised
    assert revision(environment) == revision_before


def test_version__environment_created__is_published_once(project: Project) -> None:
    from tests.support.events import recorded_events

    environment = Environment(name="Staging", project=project)
    with recorded_events(environment) as recorded:
        environment.save()
    assert recorded.of(environment) == [version(environment)]


def test_announce__silent__raises_only_the_revision(recorded: Recorder, environment: Environment) -> None:
    before, revision_before = version(environment), revision(environment)
    recorded.clear()
    versions.announce([environment.pk], silent=True)
    assert recorded.of(environment) == []
    assert (version(environment), revision(environment)) == (before, revision_before + 1)


def test_announce__silent_and_not_silent_in_one_transaction__one_event(
    recorded: Recorder, environment: Environment
) -> None:
    recorded.clear()
    with transaction.atomic():
        versions.announce([environment.pk], silent=True)
        versions.announce([environment.pk])
        versions.announce([environment.pk], silent=True)
    assert recorded.of(environment) == [version(environment)]


def test_announce__no_environments__does_nothing(recorded: Recorder, environment: Environment) -> None:
    before = revision(environment)
    versions.announce([])
    assert revision(environment) == before


def test_announce__unknown_environment__does_nothing(recorded: Recorder) -> None:
    versions.announce([999_999])
    assert recorded.events == []


def test_gate__closed__versions_are_raised_and_not_published(
    recorded: Recorder, project: Project, state: FeatureState, environment: Environment
) -> None:
    project.enable_realtime_updates = False
    project.save()
    before = version(environment)
    recorded.clear()
    toggle(state)
    assert recorded.events == []
    assert version(environment) > before


def in_one_transaction(*changes: Callable[[], None]) -> None:
    with transaction.atomic():
        for change in changes:
            change()


def test_gate__closed_in_the_transaction_of_a_change__no_event_in_either_order(
    recorded: Recorder, project: Project, state: FeatureState, environment: Environment
) -> None:
    def close() -> None:
        project.enable_realtime_updates = False
        project.save()

    for changes in (lambda: toggle(state), close), (close, lambda: toggle(state)):
        project.enable_realtime_updates = True
        project.save()
        before = version(environment)
        recorded.clear()
        in_one_transaction(*changes)
        assert recorded.events == []
        assert version(environment) > before


def test_gate__opened_in_the_transaction_of_a_change__one_event_in_either_order(
    recorded: Recorder, project: Project, state: FeatureState, environment: Environment
) -> None:
    def open_gate() -> None:
        project.enable_realtime_updates = True
        project.save()

    for changes in (lambda: toggle(state), open_gate), (open_gate, lambda: toggle(state)):
        project.enable_realtime_updates = False
        project.save()
        recorded.clear()
        in_one_transaction(*changes)
        assert recorded.of(environment) == [version(environment)]


def test_gate__announced_before_a_bulk_write__gate_at_the_commit_counts(
    recorded: Recorder, project: Project, environment: Environment
) -> None:
    for is_open in (False, True):
        recorded.clear()
        with transaction.atomic():
            versions.announce([environment.pk], gate=True)
            Project.objects.filter(pk=project.pk).update(enable_realtime_updates=is_open)
        assert recorded.of(environment) == ([version(environment)] if is_open else [])


def test_gate__closed_before_a_savepoint_is_rolled_back__sent_to_the_bus(
    project: Project, state: FeatureState, environment: Environment
) -> None:
    with mock.patch.object(type(bus.current()), "send") as send, transaction.atomic():
        project.enable_realtime_updates = False
        project.save()
        with rolled_back():
            pass
        toggle(state)
    sent = [state for call in send.call_args_list for state in call.args[0] if state.key == environment.api_key]
    assert [(state.updated_at, state.streaming_enabled) for state in sent] == [(version(environment), False)]


def test_hook__read_fails_after_the_commit__change_is_kept_and_other_hooks_run(
    project: Project, state: FeatureState, caplog: pytest.LogCaptureFixture
) -> None:
    done = []
    failing = mock.patch.object(EmbeddedHost, "committed_states", side_effect=DatabaseError("gone"))
    with failing, transaction.atomic():
        toggle(state)
        project.enable_realtime_updates = False
        project.save()
        transaction.on_commit(lambda: done.append(True))
    assert done
    assert not Project.objects.get(pk=project.pk).enable_realtime_updates
    assert any("publish_failed" in record.getMessage() for record in caplog.records)


def test_plan__subscription_created_and_deleted__opens_and_closes_the_gate(
    recorded: Recorder, organisation: Organisation, environment: Environment, settings: object
) -> None:
    settings.REALTIME_PLANS = "enterprise"  # type: ignore[attr-defined]
    organisation.subscription.delete()
    closed = version(environment)
    recorded.clear()
    Subscription.objects.create(organisation=organisation, plan="enterprise")
    assert recorded.of(environment) == [version(environment)]
    assert version(environment) > closed
    recorded.clear()
    Subscription.objects.get(organisation=organisation).delete()
    assert recorded.events == []


def test_gate__closed_after_a_change_and_rolled_back_with_its_savepoint__one_event(
    recorded: Recorder, project: Project, state: FeatureState, environment: Environment
) -> None:
    recorded.clear()
    with transaction.atomic():
        toggle(state)
        with rolled_back():
            project.enable_realtime_updates = False
            project.save()
    assert recorded.of(environment) == [version(environment)]


def test_gate__opened__newest_version_of_each_environment_is_published(
    recorded: Recorder, project: Project, environment: Environment, production: Environment
) -> None:
    project.enable_realtime_updates = False
    project.save()
    recorded.clear()
    project.enable_realtime_updates = True
    project.save()
    assert recorded.of(environment) == [version(environment)]
    assert recorded.of(production) == [version(production)]


def test_bus__send_event_raises__change_is_kept_and_other_environments_are_notified(
    recorded: Recorder, feature: Feature, environment: Environment, production: Environment
) -> None:

    recorded.clear()
    send, calls = eventstream.send_event, []

    def failing_once(*args: object, **kwargs: object) -> None:
        calls.append(args)
        if len(calls) == 1:
            raise ConnectionError("the bus is unavailable")
        send(*args, **kwargs)

    with mock.patch.object(eventstream, "send_event", failing_once):
        feature.description = "kept"
        feature.save()
    assert len(calls) == 2
    assert len(recorded.events) == 1
    assert Feature.objects.get(pk=feature.pk).description == "kept"


def test_identity_override__saved_and_deleted__raises_only_the_revision(
    recorded: Recorder, feature: Feature, environment: Environment
) -> None:
    identity = Identity.objects.create(identifier="u", environment=environment)
    before, revision_before = version(environment), revision(environment)
    recorded.clear()
    override = FeatureState.objects.create(feature=feature, environment=environment, identity=identity, enabled=True)
    toggle(override)
    override.delete()
    assert recorded.events == []
    assert version(environment) == before
    assert revision(environment) == revision_before + 3


def test_identity_override__announced_by_the_setting__one_event(
    recorded: Recorder, feature: Feature, environment: Environment, settings: object
) -> None:
    settings.REALTIME_ANNOUNCE_IDENTITY_OVERRIDES = "true"  # type: ignore[attr-defined]
    identity = Identity.objects.create(identifier="u", environment=environment)
    recorded.clear()
    FeatureState.objects.create(feature=feature, environment=environment, identity=identity, enabled=True)
    assert recorded.of(environment) == [version(environment)]


def test_delete__feature_with_states_in_two_environments__one_event_each(
    recorded: Recorder, make_feature: Callable[..., Feature], environment: Environment, production: Environment
) -> None:
    feature = make_feature("temporary")
    recorded.clear()
    feature.delete()
    assert recorded.of(environment) == [version(environment)]
    assert recorded.of(production) == [version(production)]


def test_delete__queryset_of_a_watched_model__one_event(
    recorded: Recorder, make_feature: Callable[..., Feature], environment: Environment
) -> None:
    for name in ("a", "b", "c"):
        make_feature(name)
    recorded.clear()
    FeatureState.objects.filter(environment=environment).delete()
    assert recorded.of(environment) == [version(environment)]


def test_delete__environment__no_event(
    recorded: Recorder, feature: Feature, environment: Environment, production: Environment
) -> None:
    recorded.clear()
    environment.delete()
    assert recorded.events == []


def test_plan__not_allowed_then_allowed__no_events_then_one_at_once(
    recorded: Recorder, state: FeatureState, organisation: Organisation, environment: Environment, settings: object
) -> None:
    settings.REALTIME_PLANS = "enterprise"  # type: ignore[attr-defined]
    organisation.subscription.plan = "free"
    organisation.subscription.save()
    recorded.clear()
    toggle(state)
    assert recorded.events == []
    organisation.subscription.plan = "enterprise-2024"
    organisation.subscription.save()
    assert recorded.of(environment) == [version(environment)]


def test_plan__all_plans_allowed__change_of_plan_is_no_event(recorded: Recorder, organisation: Organisation) -> None:
    recorded.clear()
    organisation.subscription.plan = "free"
    organisation.subscription.save()
    assert recorded.events == []


def test_execute_wrapper__psycopg_sql_object__executed(state: FeatureState) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite accepts only text")
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("SELECT enabled FROM {}").format(sql.Identifier(FeatureState._meta.db_table)))
        assert cursor.fetchall()
