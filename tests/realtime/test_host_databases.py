"""Versions in projects with manual transactions, execute wrappers, several database aliases, or a replica."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, connections, transaction

from environments.models import Environment
from features.models import FeatureState
from tests.realtime.test_versions import toggle, version
from tests.support.events import Recorder

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def test_commit__manual_transactions__each_raises_the_version(
    recorded: Recorder, state: FeatureState, environment: Environment
) -> None:
    """Django keeps the ``on_commit`` hooks of such transactions until autocommit is on again."""
    recorded.clear()
    transaction.set_autocommit(False)
    try:
        toggle(state)
        transaction.commit()
        first = version(environment)
        with transaction.atomic():
            toggle(state)
        transaction.commit()
        second = version(environment)
        with transaction.atomic():
            savepoint = transaction.savepoint()
            toggle(state)
            transaction.savepoint_rollback(savepoint)
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert first < second == version(environment)
    assert recorded.of(environment) == [second]


def test_rollback__connection_opened_inside_an_execute_wrapper__wrapper_is_removed_and_rollbacks_are_detected(
    recorded: Recorder, state: FeatureState, environment: Environment
) -> None:
    """As with a middleware that counts queries: a thread's first request opens the connection inside of it."""
    seen: list[str] = []

    def count(execute: Callable[..., object], *arguments: object) -> object:
        seen.append(str(arguments[0]))
        return execute(*arguments)

    connection.close()
    connection.execute_wrappers.clear()
    with connection.execute_wrapper(count):
        before = version(environment)
    seen.clear()
    recorded.clear()
    with transaction.atomic():
        savepoint = transaction.savepoint()
        toggle(state)
        transaction.savepoint_rollback(savepoint)
    assert seen == []
    assert recorded.of(environment) == []
    assert version(environment) == before


@pytest.fixture
def other_alias() -> Iterator[str]:
    """A second alias of the same database, with its own connection."""
    connections["other"] = connection.copy("other")
    yield "other"
    connections["other"].close()
    del connections["other"]


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite lets one connection write at a time")
def test_commit__row_in_another_database__version_is_raised_and_published(
    recorded: Recorder, state: FeatureState, environment: Environment, other_alias: str
) -> None:
    before = version(environment)
    recorded.clear()
    state.enabled = not state.enabled
    with transaction.atomic(using=other_alias):
        state.save(using=other_alias)
        assert recorded.of(environment) == []
    assert before < version(environment)
    assert recorded.of(environment) == [version(environment)]


def test_version__reads_from_a_replica__published_version_is_the_written_one(
    recorded: Recorder, state: FeatureState, environment: Environment, settings: Any, other_alias: str
) -> None:
    """The replica does not contain uncommitted changes."""

    class Router:
        def db_for_read(self, model: Any, **hints: Any) -> str | None:
            return other_alias if model is Environment else None

        def db_for_write(self, model: Any, **hints: Any) -> str:
            return "default"

    recorded.clear()
    settings.DATABASE_ROUTERS = [Router()]
    toggle(state)
    assert recorded.of(environment) == [version(environment)]
