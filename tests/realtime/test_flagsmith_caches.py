"""Flagsmith's cache of environments: what is compared with the database, and what a client reads after an event."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, connections
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from structlog.testing import capture_logs

from environments.models import Environment
from realtime import hosts
from realtime.flagsmith import cache_listener, cache_notifier
from realtime.flagsmith.cache_listener import CacheListener
from realtime.flagsmith.cache_notifier import CacheNotifier
from realtime.flagsmith.caches import EnvironmentCache
from realtime.types import EnvironmentKey
from tests.support.patience import PATIENCE

KEY = "key"

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

needs_notifications = pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="only PostgreSQL has LISTEN and NOTIFY"
)


@pytest.fixture
def cache(settings: Any) -> Iterator[EnvironmentCache]:
    """The cache of a process that has just started."""
    settings.REALTIME_HOST, settings.REALTIME_FLAGSMITH = "flagsmith", "signals"
    cache_listener.forget()
    cache = EnvironmentCache("environment-objects", {})
    yield cache
    cache.clear()
    if (listener := cache_listener.current()) is not None:
        listener.close(PATIENCE)
    cache_listener.forget()


@pytest.fixture
def notifier(cache: EnvironmentCache) -> Iterator[CacheNotifier]:
    """The notifier of a process with streams."""
    notifier = CacheNotifier()

    def versions_read(states: Any, **kwargs: object) -> None:
        notifier.wait_for_caches(states)

    hosts.versions_read.connect(versions_read)
    yield notifier
    hosts.versions_read.disconnect(versions_read)
    notifier.close()


def get(cache: EnvironmentCache, environment: Environment) -> Environment:
    """The environment from the cache, or from the database if it is a miss, as Flagsmith reads it."""
    found: Environment | None = cache.get(KEY)
    if found is None:
        found = Environment.objects.get(pk=environment.pk)
        cache.set(KEY, found)
    return found


def queries(cache: EnvironmentCache, environment: Environment) -> int:
    with CaptureQueriesContext(connection) as captured:
        get(cache, environment)
    return len(captured)


def raise_version(environment: Environment) -> None:
    """Commit a newer version, as another process does."""
    Environment.objects.filter(pk=environment.pk).update(updated_at=F("updated_at") + timedelta(microseconds=1))


def deliver(environment: Environment) -> hosts.EnvironmentState:
    """The state that streams get: the read ends when no process uses an older one."""
    key = EnvironmentKey(environment.api_key)
    return hosts.current().states([key])[key]


@contextmanager
def another_session() -> Iterator[psycopg.Connection]:
    parameters = connection.get_connection_params()
    address = {name: parameters[name] for name in ("dbname", "user", "password", "host", "port") if name in parameters}
    with psycopg.connect(**address, autocommit=True) as session:
        yield session


@contextmanager
def process_without_answers() -> Iterator[psycopg.Connection]:
    """A process that has taken the lock, and does not answer."""
    with another_session() as session:
        session.execute("SELECT pg_advisory_lock_shared(%s::int, %s::int)", cache_listener.LOCK)
        yield session


def until(holds: Callable[[], object]) -> None:
    """Poll until the condition is true: nothing announces it."""
    paused = threading.Event()
    for _ in range(int(PATIENCE / 0.02)):
        if holds():
            return
        paused.wait(0.02)
    raise TimeoutError("the condition did not become true")


def test_environment_cache__another_process_has_raised_the_version__miss(
    cache: EnvironmentCache, environment: Environment, settings: Any
) -> None:
    settings.REALTIME_FLAGSMITH = "follow"
    environment.refresh_from_db()
    cache.set(KEY, environment)
    assert cache.get(KEY) == environment

    raise_version(environment)

    assert cache.get(KEY) is None
    # A request that has read the environment before that may write it to the cache after that.
    cache.set(KEY, environment)
    assert cache.get(KEY, "default") == "default"


def test_environment_cache__database_fails__cached_environment(
    cache: EnvironmentCache, environment: Environment, settings: Any
) -> None:
    def fails(*arguments: Any) -> None:
        raise OperationalError("the connection is lost")

    settings.REALTIME_FLAGSMITH = "follow"
    environment.refresh_from_db()
    cache.set(KEY, environment)
    with capture_logs() as logs, connection.execute_wrapper(fails):
        assert cache.get(KEY) == environment

    assert [log["event"] for log in logs] == ["cached_environment_not_checked"]


@needs_notifications
def test_environment_cache__read_after_a_miss__not_compared(cache: EnvironmentCache, environment: Environment) -> None:
    assert queries(cache, environment) == 1
    assert queries(cache, environment) == 0


@needs_notifications
def test_environment_cache__version_is_delivered__read_once_more_and_then_not_compared(
    cache: EnvironmentCache, notifier: CacheNotifier, environment: Environment, production: Environment
) -> None:
    get(cache, environment)
    raise_version(environment)

    delivered = deliver(environment)

    assert get(cache, environment).updated_at == delivered.updated_at
    assert queries(cache, environment) == 0

    # An event of another environment: compared once.
    deliver(production)
    assert [queries(cache, environment), queries(cache, environment)] == [1, 0]


@needs_notifications
def test_environment_cache__read_before_and_written_after_the_event__miss(
    cache: EnvironmentCache, notifier: CacheNotifier, environment: Environment
) -> None:
    assert cache.get(KEY) is None
    old = Environment.objects.get(pk=environment.pk)
    raise_version(environment)
    delivered = deliver(environment)

    cache.set(KEY, old)

    assert get(cache, environment).updated_at == delivered.updated_at


@needs_notifications
def test_environment_cache__read_from_a_replica__compared(cache: EnvironmentCache, environment: Environment) -> None:
    assert cache.get(KEY) is None
    replicated = Environment.objects.get(pk=environment.pk)
    replicated._state.db = "replica"
    cache.set(KEY, replicated)

    assert [queries(cache, environment), queries(cache, environment)] == [1, 0]


@needs_notifications
def test_environment_cache__listener_loses_its_connection__compared_until_it_is_connected_again(
    cache: EnvironmentCache, environment: Environment
) -> None:
    get(cache, environment)
    listener = cache_listener.current()
    assert listener is not None
    assert listener.checked() is not None

    with capture_logs() as logs, another_session() as session:
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'realtime-cache'"
        )
        until(lambda: listener.checked() is None)
        assert queries(cache, environment) == 1
        until(lambda: listener.checked() is not None)

    assert [queries(cache, environment), queries(cache, environment)] == [1, 0]
    assert [log["event"] for log in logs] == ["cache_listener_failed"]


@needs_notifications
def test_environment_cache__database_has_not_answered_for_a_second__compared(
    cache: EnvironmentCache, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_listener, "PING_SECONDS", 3 * cache_listener.TRUST_SECONDS)
    get(cache, environment)
    listener = cache_listener.current()
    assert listener is not None

    until(lambda: listener.checked() is None)

    assert [queries(cache, environment), queries(cache, environment)] == [1, 1]
    with another_session() as session:
        session.execute("SELECT pg_notify('realtime_caches', '1')")
        until(lambda: listener.checked() is not None)


@needs_notifications
def test_listener__no_notification_arrives__compared_and_not_waited_for(
    cache: EnvironmentCache, notifier: CacheNotifier, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a pooler that shares sessions."""
    monkeypatch.setattr(cache_listener, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(cache_listener.ListeningConnection, "notifications", lambda connection: iter(()))
    with capture_logs() as logs:
        assert [queries(cache, environment), queries(cache, environment)] == [1, 1]
        deliver(environment)
    assert [log["event"] for log in logs] == ["cache_listener_failed"]
    assert "REALTIME_BUS_DATABASE_URL" in logs[0]["error"]


@needs_notifications
def test_notifier__process_does_not_answer__waited_for_once_until_it_answers(
    cache: EnvironmentCache, notifier: CacheNotifier, environment: Environment
) -> None:
    def deliver_next() -> list[str]:
        raise_version(environment)
        with capture_logs() as logs:
            deliver(environment)
        return [log["event"] for log in logs]

    with process_without_answers() as session:
        assert deliver_next() == ["cache_not_answered"]
        assert deliver_next() == []

        session.execute("SELECT pg_notify('realtime_cache_answers', '1:' || pg_backend_pid())")

        assert deliver_next() == ["cache_not_answered"]
    assert deliver_next() == []


@needs_notifications
def test_notifier__process_ends_before_it_answers__not_waited_for(
    cache: EnvironmentCache, notifier: CacheNotifier, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_notifier, "ANSWER_SECONDS", PATIENCE)
    with another_session() as session, process_without_answers() as process:
        session.execute(f"LISTEN {cache_listener.CHANNEL}")

        def end_it() -> None:
            for _ in session.notifies(timeout=PATIENCE, stop_after=1):
                process.close()

        ending = threading.Thread(target=end_it)
        ending.start()
        with capture_logs() as logs:
            deliver(environment)
        ending.join()
    assert process.closed
    assert logs == []


@needs_notifications
def test_notifier__its_session_is_closed__the_read_fails_and_the_next_one_succeeds(
    cache: EnvironmentCache, notifier: CacheNotifier, environment: Environment
) -> None:
    deliver(environment)
    raise_version(environment)
    with another_session() as session:
        session.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE application_name = 'realtime-cache-notifier'"
        )

    with pytest.raises((psycopg.OperationalError, ConnectionError)):
        deliver(environment)

    assert deliver(environment).updated_at == Environment.objects.get(pk=environment.pk).updated_at


@needs_notifications
def test_caches_of_two_processes__requests_during_changes__nothing_older_than_the_last_event(
    cache: EnvironmentCache, notifier: CacheNotifier, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads read as requests do. Each version of a read is compared with what had been delivered when it began."""
    delivered = [deliver(environment).updated_at]
    ended = threading.Event()
    older: list[tuple[Any, Any]] = []
    reads = [0, 0]

    def make_requests(number: int) -> None:
        # Each thread is a process of its own, with a listener and a storage.
        own = EnvironmentCache(f"process-{number}", {})
        own_listener = CacheListener()
        listeners.current = own_listener
        try:
            while not ended.is_set():
                newest = delivered[0]
                found = get(own, environment)
                reads[number] += 1
                if found.updated_at < newest:
                    older.append((found.updated_at, newest))
                if random.random() < 0.1:
                    own.delete(KEY)
        finally:
            own_listener.close(PATIENCE)
            own.clear()
            connections.close_all()

    listeners = threading.local()
    monkeypatch.setattr(cache_listener, "current", lambda: getattr(listeners, "current", None))
    threads = [threading.Thread(target=make_requests, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: all(reads))
        for _ in range(200):
            raise_version(environment)
            delivered[0] = deliver(environment).updated_at
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert older == []
    print(f"{reads} reads")
