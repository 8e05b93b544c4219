"""Flagsmith's cache of environments: what is compared with the database, and what a client reads after an event."""

import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import InterfaceError, OperationalError, connection, connections
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from structlog.testing import capture_logs

from environments.models import Environment
from realtime import hosts
from realtime.bus import listening
from realtime.flagsmith import cache_listener, cache_notifier
from realtime.flagsmith.cache_listener import CacheListener
from realtime.flagsmith.cache_notifier import CacheNotifier
from realtime.flagsmith.caches import EnvironmentCache
from realtime.types import EnvironmentKey
from tests.support.patience import PATIENCE, until
from tests.support.postgresql import another_session

KEY = "key"

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

needs_notifications = pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="only PostgreSQL has LISTEN and NOTIFY"
)


@pytest.fixture(params=["psycopg", pytest.param("psycopg2", marks=pytest.mark.slow)])
def cache(request: pytest.FixtureRequest, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[EnvironmentCache]:
    """The cache of a process that has just started."""
    if request.param == "psycopg2":
        pytest.importorskip("psycopg2")
        # As in a Flagsmith, which has no psycopg 3.
        monkeypatch.setattr(listening, "find_spec", lambda name: None)
    # Long enough for a busy machine. Tests of these times set them.
    monkeypatch.setattr(cache_listener, "START_SECONDS", PATIENCE)
    monkeypatch.setattr(cache_listener, "LEASE_SECONDS", PATIENCE)
    monkeypatch.setattr(cache_notifier, "WAIT_SECONDS", PATIENCE)
    monkeypatch.setattr(cache_listener, "PAUSES", (0.1, 30.0))
    settings.REALTIME_HOST, settings.REALTIME_FLAGSMITH = "flagsmith", "signals"
    cache_listener.of_this_process.forget()
    cache = EnvironmentCache("environment-objects", {})
    yield cache
    cache.clear()
    if (listener := cache_listener.current()) is not None:
        listener.worker.stop(PATIENCE)
    cache_listener.of_this_process.forget()


@pytest.fixture
def notifier(cache: EnvironmentCache, monkeypatch: pytest.MonkeyPatch) -> Iterator[CacheNotifier]:
    """The notifier of a process with streams."""
    notifier = CacheNotifier()

    monkeypatch.setattr(cache_notifier, "wait_for_caches", notifier.wait_for_caches)
    yield notifier
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
def process_without_answers() -> Iterator[psycopg.Connection]:
    """A process that holds the lock 1, and does not answer."""
    with another_session() as session:
        session.execute("SELECT pg_advisory_lock_shared(%s::int, 1)", [cache_listener.LOCK_CLASS])
        yield session


def terminate(name: str) -> None:
    """End the sessions of this name, and wait for their end."""
    with another_session() as session:
        session.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE application_name = %s AND datname = current_database()",
            [name],
        )


def locks() -> list[Any]:
    """The locks that processes hold."""
    with connection.cursor() as cursor:
        cursor.execute(cache_notifier.LOCK_HOLDERS)
        return [lock for lock in cursor.fetchone()[0].split(",") if lock]


def names(logs: list[Any]) -> list[str]:
    return [log["event"] for log in logs]


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


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_environment_cache__database_fails__cached_environment(
    cache: EnvironmentCache, environment: Environment, settings: Any, error: type[Exception]
) -> None:
    def fails(*arguments: Any) -> None:
        raise error("the connection is lost")

    settings.REALTIME_FLAGSMITH = "follow"
    environment.refresh_from_db()
    cache.set(KEY, environment)
    assert cache.get(KEY) == environment
    with capture_logs() as logs, connection.execute_wrapper(fails):
        assert [cache.get(KEY), cache.get(KEY)] == [environment, environment]

    assert names(logs) == ["cached_environments_not_compared"]


@needs_notifications
def test_environment_cache__read_after_a_miss__not_compared(cache: EnvironmentCache, environment: Environment) -> None:
    assert queries(cache, environment) == 1
    assert queries(cache, environment) == 0


@needs_notifications
def test_environment_cache__version_is_delivered__read_once_more_and_then_not_compared(
    cache: EnvironmentCache, notifier: CacheNotifier, environment: Environment, production: Environment
) -> None:
    deliver(production)
    get(cache, environment)
    raise_version(environment)

    delivered = deliver(environment)

    assert get(cache, environment).updated_at == delivered.updated_at
    assert queries(cache, environment) == 0
    # An event of another environment.
    raise_version(production)
    deliver(production)
    assert queries(cache, environment) == 0


@needs_notifications
def test_environment_cache__too_many_environments_for_a_notification__all_compared(
    cache: EnvironmentCache, notifier: CacheNotifier, environment: Environment
) -> None:
    get(cache, environment)
    now = timezone.now()
    notifier.wait_for_caches(
        hosts.EnvironmentState(EnvironmentKey(f"{number:0100}'"), now, True) for number in range(100)
    )
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
    cache: EnvironmentCache, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    get(cache, environment)
    listener = cache_listener.current()
    assert listener is not None
    listener.worker.pauses = (2.0, 30.0)

    with capture_logs() as logs:
        terminate("realtime-cache")
        until(lambda: listener.known_versions() is None)
        assert queries(cache, environment) == 1
        until(lambda: listener.known_versions() is not None)

    assert [queries(cache, environment), queries(cache, environment)] == [1, 0]
    assert names(logs) == ["cache_listener_failed"]


@needs_notifications
def test_environment_cache__process_was_stopped_for_too_long__compared_and_not_waited_for(
    cache: EnvironmentCache, notifier: CacheNotifier, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    continued = threading.Event()
    waits = listening.ListeningConnection.wait

    def wait(self: listening.ListeningConnection, *arguments: Any, **options: Any) -> bytes | None:
        if threading.current_thread().name == "realtime-cache-listener":
            continued.wait(PATIENCE)
        return waits(self, *arguments, **options)

    get(cache, environment)
    listener = cache_listener.current()
    assert listener is not None
    listener.worker.pauses = (10.0, 30.0)
    monkeypatch.setattr(cache_listener, "LEASE_SECONDS", 0.3)
    monkeypatch.setattr(listening.ListeningConnection, "wait", wait)

    with capture_logs() as logs:
        until(lambda: listener.known_versions() is None)
        assert [queries(cache, environment), queries(cache, environment)] == [1, 1]
        continued.set()
        until(lambda: logs and not locks())
        deliver(environment)

    assert names(logs) == ["cache_listener_failed"]
    assert "has not answered" in logs[0]["error"]


@needs_notifications
@pytest.mark.parametrize("pooled", ["realtime-cache", "realtime-cache-notifier"])
def test_pooler__sessions_receive_only_their_own_notifications__compared_or_waited_for(
    pooled: str,
    cache: EnvironmentCache,
    notifier: CacheNotifier,
    environment: Environment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pooler that shares sessions passes a notification on only together with an answer."""
    connect = listening.connect

    @contextmanager
    def connect_pooled(name: str) -> Iterator[listening.ListeningConnection]:
        with connect(name) as connection:
            if name == pooled:
                connection.notifications = lambda: iter(())  # type: ignore[method-assign]
            yield connection

    monkeypatch.setattr(listening, "connect", connect_pooled)
    monkeypatch.setattr(cache_notifier, "WAIT_SECONDS", 0.1)
    with capture_logs() as logs:
        get(cache, environment)
        raise_version(environment)
        delivered = deliver(environment)

        until(lambda: get(cache, environment).updated_at == delivered.updated_at)
        assert queries(cache, environment) == (pooled == "realtime-cache")
    failure = {"realtime-cache": "cache_listener_failed", "realtime-cache-notifier": "cache_answers_not_received"}
    assert names(logs) == [failure[pooled]]
    assert "REALTIME_BUS_DATABASE_URL" in logs[0]["error"]


@needs_notifications
def test_notifier__process_does_not_answer__waited_for_once_until_it_answers(
    cache: EnvironmentCache, notifier: CacheNotifier, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deliver_next() -> list[str]:
        raise_version(environment)
        with capture_logs() as logs:
            deliver(environment)
        return names(logs)

    deliver(environment)
    with process_without_answers() as session:
        monkeypatch.setattr(cache_notifier, "WAIT_SECONDS", 0.1)
        assert deliver_next() == ["cache_not_answered"]
        assert deliver_next() == []

        session.execute("SELECT pg_notify(%s, '1:1')", [cache_listener.answer_channel(notifier._number)])

        assert deliver_next() == ["cache_not_answered"]
    assert deliver_next() == []


@needs_notifications
def test_notifier__notification_takes_longer_than_the_wait__answers_are_awaited_all_the_same(
    cache: EnvironmentCache, notifier: CacheNotifier, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notifying transactions commit one after the other: this one waits for a transaction that takes long."""
    deliver(environment)
    monkeypatch.setattr(cache_notifier, "WAIT_SECONDS", 0.2)
    query = listening.ListeningConnection.query

    def slow_query(self: listening.ListeningConnection, sql: bytes) -> bytes:
        if sql.startswith(b"SELECT (SELECT"):
            time.sleep(0.5)
        return query(self, sql)

    monkeypatch.setattr(listening.ListeningConnection, "query", slow_query)
    with process_without_answers() as process:
        process.execute(f"LISTEN {cache_listener.CHANNEL}")
        answers = cache_listener.answer_channel(notifier._number)

        def answer() -> None:
            (notification,) = list(process.notifies(timeout=PATIENCE, stop_after=1))
            number = cache_listener.VersionsNotification.decode(notification.payload.encode()).number
            process.execute("SELECT pg_notify(%s, %s)", [answers, f"{number}:1"])

        thread = threading.Thread(target=answer)
        thread.start()
        raise_version(environment)
        with capture_logs() as logs:
            deliver(environment)
        thread.join()
    assert logs == []


@needs_notifications
def test_notifier__its_session_is_closed__waits_without_answers_and_connects_again(
    cache: EnvironmentCache, notifier: CacheNotifier, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Perhaps the processes' sessions were closed with it, and they have not noticed."""
    deliver(environment)
    get(cache, environment)
    monkeypatch.setattr(cache_notifier, "WAIT_SECONDS", 0.1)
    terminate("realtime-cache-notifier")
    raise_version(environment)
    with capture_logs() as logs:
        delivered = deliver(environment)
    until(lambda: get(cache, environment).updated_at == delivered.updated_at)
    assert names(logs) == ["cache_answers_not_received"]

    monkeypatch.setattr(cache_notifier, "WAIT_SECONDS", PATIENCE)
    raise_version(environment)
    with capture_logs() as logs:
        delivered = deliver(environment)
    assert get(cache, environment).updated_at == delivered.updated_at
    assert logs == []


@needs_notifications
def test_notifier__another_one_is_busy__receives_nothing(
    cache: EnvironmentCache, notifier: CacheNotifier, environment: Environment
) -> None:
    """A session that does not read would fill PostgreSQL's queue."""
    deliver(environment)
    get(cache, environment)
    busy = CacheNotifier()
    for _ in range(3):
        raise_version(environment)
        state = hosts.EmbeddedHost().states([EnvironmentKey(environment.api_key)])[EnvironmentKey(environment.api_key)]
        busy.wait_for_caches([state])
    busy.close()

    assert notifier._connection is not None
    assert notifier._connection.query(b"SELECT 'nothing more'") == b"nothing more"
    assert list(notifier._connection.notifications()) == []


@needs_notifications
def test_notifier__forked_child_ends__session_is_kept(
    cache: EnvironmentCache, notifier: CacheNotifier, environment: Environment
) -> None:
    deliver(environment)
    child = os.fork()
    if not child:
        notifier.close()
        os._exit(0)
    os.waitpid(child, 0)
    raise_version(environment)
    with capture_logs() as logs:
        deliver(environment)
    assert logs == []


@needs_notifications
def test_notifier__process_has_connected_again_after_no_answer__waited_for(
    cache: EnvironmentCache, notifier: CacheNotifier, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    get(cache, environment)
    listener = cache_listener.current()
    assert listener is not None
    stopped, continued = threading.Event(), threading.Event()
    receive = cache_listener._received

    def receive_late(connection: Any) -> Any:
        if stopped.is_set():
            continued.wait(PATIENCE)
        return receive(connection)

    monkeypatch.setattr(cache_listener, "_received", receive_late)
    deliver(environment)
    stopped.set()
    monkeypatch.setattr(cache_notifier, "WAIT_SECONDS", 0.1)
    raise_version(environment)
    with capture_logs() as logs:
        deliver(environment)
    assert names(logs) == ["cache_not_answered"]
    terminate("realtime-cache")
    before = locks()
    stopped.clear()
    continued.set()
    until(lambda: locks() and listener.known_versions() is not None)
    assert locks() != before

    continued.clear()
    stopped.set()
    raise_version(environment)
    with capture_logs() as logs:
        deliver(environment)
    continued.set()
    assert names(logs) == ["cache_not_answered"]


@needs_notifications
def test_environment_cache__environment_got_another_key__miss(
    cache: EnvironmentCache, notifier: CacheNotifier, environment: Environment
) -> None:
    """Caches also have it under the keys of servers."""
    deliver(environment)
    get(cache, environment)
    Environment.objects.filter(pk=environment.pk).update(api_key="another-key")
    environment.refresh_from_db()
    raise_version(environment)

    delivered = deliver(environment)

    assert get(cache, environment).updated_at == delivered.updated_at


@needs_notifications
def test_listener__no_thread_can_be_started__compared_until_one_can(
    cache: EnvironmentCache, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(threading.Thread, "start", start)
        assert [queries(cache, environment), queries(cache, environment)] == [1, 1]
    assert names(logs) == ["cache_listener_failed"]
    listener = cache_listener.current()
    assert listener is not None
    until(lambda: listener.known_versions() is not None)
    assert [queries(cache, environment), queries(cache, environment)] == [1, 0]


@needs_notifications
def test_caches_of_two_processes__requests_during_changes__nothing_older_than_the_last_event(
    cache: EnvironmentCache, notifier: CacheNotifier, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads read as requests do. Each version of a read is compared with what had been delivered when it began."""
    delivered = [deliver(environment).updated_at]
    ended = threading.Event()
    older: list[tuple[Any, Any]] = []

    def make_requests(process: int) -> int:
        """Make requests as a process of its own. Returns the number of reads without a query."""
        own = EnvironmentCache(f"process-{process}", {})
        listeners.current = CacheListener()
        without_query = 0
        try:
            while not ended.is_set():
                newest = delivered[0]
                with CaptureQueriesContext(connection) as captured:
                    found = get(own, environment)
                without_query += not captured.captured_queries
                if found.updated_at < newest:
                    older.append((found.updated_at, newest))
                if random.random() < 0.1:
                    own.delete(KEY)
            return without_query
        finally:
            listeners.current.worker.stop(PATIENCE)
            own.clear()
            connections.close_all()

    listeners = threading.local()
    monkeypatch.setattr(cache_listener, "current", lambda: getattr(listeners, "current", None))
    with ThreadPoolExecutor(2) as processes:
        requests = [processes.submit(make_requests, process) for process in range(2)]
        try:
            for _ in range(200):
                raise_version(environment)
                delivered[0] = deliver(environment).updated_at
        finally:
            ended.set()
        assert all(request.result() > 100 for request in requests)
    assert older == []
