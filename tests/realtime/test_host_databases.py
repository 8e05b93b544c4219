"""Versions where a project has its own way with databases: transactions by hand, wrappers, several aliases."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, connections, transaction

from environments.models import Environment
from features.models import FeatureState
from tests.realtime.test_versions import toggle, version
from tests.support.heard import Heard

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def test_commit__transactions_managed_by_hand__each_raises_the_version(
    heard: Heard, state: FeatureState, environment: Environment
) -> None:
    """Django keeps the hooks of such transactions until it manages them itself again."""
    heard.clear()
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
    assert heard.of(environment) == [second]


def test_rollback__connection_made_under_an_execute_wrapper__the_wrapper_goes_and_rollbacks_are_noticed(
    heard: Heard, state: FeatureState, environment: Environment
) -> None:
    """As under a middleware that counts queries: in each thread of a server the first request makes the connection."""
    seen: list[str] = []

    def count(execute: Callable[..., object], *arguments: object) -> object:
        seen.append(str(arguments[0]))
        return execute(*arguments)

    connection.close()
    connection.execute_wrappers.clear()
    with connection.execute_wrapper(count):
        before = version(environment)
    seen.clear()
    heard.clear()
    with transaction.atomic():
        savepoint = transaction.savepoint()
        toggle(state)
        transaction.savepoint_rollback(savepoint)
    assert seen == []
    assert heard.of(environment) == []
    assert version(environment) == before


@pytest.fixture
def other_alias() -> Iterator[str]:
    """A second name of the same database, with a connection of its own."""
    connections["other"] = connection.copy("other")
    yield "other"
    connections["other"].close()
    del connections["other"]


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite lets one connection write at a time")
def test_commit__by_another_alias__the_version_rises_and_is_told_then(
    heard: Heard, state: FeatureState, environment: Environment, other_alias: str
) -> None:
    before = version(environment)
    heard.clear()
    state.enabled = not state.enabled
    with transaction.atomic(using=other_alias):
        state.save(using=other_alias)
        assert heard.of(environment) == []
    assert before < version(environment)
    assert heard.of(environment) == [version(environment)]


def test_version__reads_that_go_to_a_replica__is_the_one_that_was_written(
    heard: Heard, state: FeatureState, environment: Environment, settings: Any, other_alias: str
) -> None:
    """The replica knows nothing of a transaction that is not committed."""

    class Router:
        def db_for_read(self, model: Any, **hints: Any) -> str | None:
            return other_alias if model is Environment else None

        def db_for_write(self, model: Any, **hints: Any) -> str:
            return "default"

    heard.clear()
    settings.DATABASE_ROUTERS = [Router()]
    toggle(state)
    assert heard.of(environment) == [version(environment)]
