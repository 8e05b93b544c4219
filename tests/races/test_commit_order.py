"""Promise I2 with two database sessions: the order of versions is the order of commits."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections, transaction

from environments.models import Environment
from features.models import Feature, FeatureState
from realtime.changes import versions
from tests.support.events import recorded_events
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def in_new_session(work: Callable[[], None]) -> None:
    try:
        work()
    finally:
        connections.close_all()


def test_versions__transaction_that_began_earlier_commits_later__has_the_later_version(
    environment: Environment, production: Environment, feature: Feature
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time: the first to begin is the first to commit")
    began, other_committed = threading.Event(), threading.Event()

    def begin_first() -> None:
        with transaction.atomic():
            # The first statement begins the transaction. The change follows.
            list(Feature.objects.all())
            began.set()
            assert other_committed.wait(PATIENCE)
            toggle(environment, feature)

    def commit_first() -> None:
        assert began.wait(PATIENCE)
        toggle(environment, feature)
        other_committed.set()

    with recorded_events(environment) as recorded, ThreadPoolExecutor(2) as sessions:
        for done in [sessions.submit(in_new_session, work) for work in (begin_first, commit_first)]:
            done.result(PATIENCE)
    assert recorded.of(environment) == sorted(recorded.of(environment))
    assert len(recorded.of(environment)) == 2
    environment.refresh_from_db()
    assert recorded.of(environment)[-1] == environment.updated_at


def test_versions__concurrent_sessions__strictly_rising_and_none_is_lost(
    environment: Environment, production: Environment, feature: Feature
) -> None:
    def work() -> None:
        for _ in range(15):
            with transaction.atomic():
                versions.announce([production.pk, environment.pk])

    with recorded_events(environment, production) as recorded, ThreadPoolExecutor(6) as sessions:
        for done in [sessions.submit(in_new_session, work) for _ in range(6)]:
            done.result(PATIENCE)
    for each in (environment, production):
        each.refresh_from_db()
        assert len(recorded.of(each)) == len(set(recorded.of(each))) == 90
        assert max(recorded.of(each)) == each.updated_at


def test_delete__two_features_with_overrides_in_twenty_environments_at_once__no_deadlock(
    many: list[Environment], make_feature: Callable[..., Feature]
) -> None:
    from features import services

    features = [make_feature(f"doomed-{number}") for number in range(2)]

    def delete(feature: Feature) -> None:
        def work() -> None:
            with transaction.atomic():
                versions.lock([each.pk for each in many])
                services.delete_feature(feature)

        in_new_session(work)

    with recorded_events(*many) as recorded, ThreadPoolExecutor(2) as sessions:
        for done in [sessions.submit(delete, feature) for feature in features]:
            done.result(PATIENCE)
    for each in many:
        assert len(set(recorded.of(each))) == 2
    assert not FeatureState.objects.exists()


@pytest.fixture
def many(environment: Environment) -> list[Environment]:
    others = [Environment.objects.create(name=f"e{number}", project=environment.project) for number in range(19)]
    return [environment, *others]


def toggle(environment: Environment, feature: Feature) -> None:
    with transaction.atomic():
        versions.lock([environment.pk])
        state = FeatureState.objects.get(environment=environment, feature=feature)
        state.enabled = not state.enabled
        state.save()
