"""The reconcile: its query, the states that it finds, late events, and reconciles requested by the bus."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_eventstream.views import get_listener_manager

from environments.models import Environment
from projects.models import Project
from realtime import bus, hosts, runtime
from realtime.bus import eventstream
from realtime.delivery import hub, reconcile, sse
from realtime.flagsmith import cache_notifier
from realtime.hosts import EmbeddedHost
from realtime.models import ExternalEnvironment
from realtime.monitoring import metrics
from realtime.monitoring.shared_counters import counters
from realtime.types import EnvironmentKey, EnvironmentState, first_readable
from tests.bus.conftest import Settings
from tests.support.asgi import Client, eventually, stream
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

ENVIRONMENTS = 10_000

DAY = timedelta(days=1)

UUID = {"sqlite": "lower(hex(randomblob(16)))", "postgresql": "gen_random_uuid()"}


@pytest.fixture
async def streams(settings: Settings, closed_runtime: None) -> hub.Hub:
    """The loop's hub, with a reconcile interval so long that only requested reconciles run."""
    settings.REALTIME_RECONCILE_SECONDS = 60.0
    return hub.current()


@pytest.fixture
async def client(streams: hub.Hub, environment: Environment) -> AsyncIterator[Client]:
    async with stream(environment.api_key) as client:
        await client.opened()
        yield client


async def raise_unannounced(environment: Environment) -> bytes:
    """Raise the version without an event, as if the bus had lost it. Returns the frame of the new version."""
    newer = first_readable(timezone.now())
    await sync_to_async(Environment.objects.filter(pk=environment.pk).update)(updated_at=newer)
    return sse.frame(newer)


def copy(environment: Environment, number: int) -> None:
    """Copy the environment this number of times, with keys ``key-1`` and so on. The ORM would take seconds."""
    columns = [field.column for field in Environment._meta.concrete_fields if not field.primary_key]
    other = {"api_key": "'key-' || number", "name": "'key-' || number", "uuid": UUID[connection.vendor]}
    values = [other.get(column, column) for column in columns]
    numbers = "WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < %s)"
    into = f"INSERT INTO environments_environment ({', '.join(columns)})"
    select = f"SELECT {', '.join(values)} FROM environments_environment CROSS JOIN numbers WHERE id = %s"  # noqa: S608
    statement = f"{numbers} {into} {select}"
    with connection.cursor() as cursor:
        cursor.execute(statement, [number, environment.pk])


def plan(statement: str) -> str:
    """The database's query plan."""
    explain = "EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN "
    with connection.cursor() as cursor:
        cursor.execute(explain + statement)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def test_changed_since__very_many_environments__uses_the_index_and_returns_changed_ones(project: Project) -> None:
    first = Environment.objects.create(name="first", project=project)
    Environment.objects.filter(pk=first.pk).update(updated_at=timezone.now() - timedelta(days=300))
    copy(first, ENVIRONMENTS)
    assert Environment.objects.count() == ENVIRONMENTS + 1
    now = timezone.now()
    Environment.objects.filter(api_key="key-7").update(updated_at=now)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE environments_environment")
    with CaptureQueriesContext(connection) as queries:
        changed = hosts.current().changed_since(now - reconcile.OVERLAP)
    assert [state.key for state in changed] == ["key-7"]
    query, *_ = [captured["sql"] for captured in queries if "environments_environment" in captured["sql"]]
    by_index = [line for line in plan(query).splitlines() if "index" in line.lower() and "updated_at" in line]
    assert by_index, plan(query)
    assert "scan on environments_environment" not in plan(query).lower()
    assert "scan environments_environment" not in plan(query).lower()


async def test_reconcile__environments_changed_without_events__one_run_delivers_all(
    project: Project, settings: Settings, closed_runtime: None
) -> None:
    """Each topic is also read in turn. With an interval of half the overlap, half of them have their turn in a run."""
    settings.REALTIME_RECONCILE_SECONDS = reconcile.OVERLAP.total_seconds() / 2
    environments = [
        await Environment.objects.acreate(name=str(number), api_key=f"key-{number}", project=project)
        for number in range(6)
    ]
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(stream(environment.api_key)) for environment in environments]
        for client in clients:
            await client.opened()
        frames = [await raise_unannounced(environment) for environment in environments]
        runs = counters.sums()[metrics.reconciles["done"].name]
        hub.current().reconcile_now()
        for client, frame in zip(clients, frames, strict=True):
            await client.until(lambda client, frame=frame: client.events[-1:] == [frame])
        assert counters.sums()[metrics.reconciles["done"].name] <= runs + 1


async def test_reconcile_now__called_in_another_thread__newest_state_is_delivered(
    client: Client, environment: Environment
) -> None:
    frame = await raise_unannounced(environment)
    thread = threading.Thread(target=hub.current().reconcile_now)
    thread.start()
    await client.until(lambda client: client.events[-1:] == [frame])
    thread.join()


async def test_reconcile_now__gate_opened_without_an_event__newest_state_is_delivered(
    streams: hub.Hub, environment: Environment, project: Project
) -> None:
    project.enable_realtime_updates = False
    await project.asave()
    async with stream(environment.api_key) as client:
        await client.opened()
        assert client.events == []
        project.enable_realtime_updates = True
        with mock.patch.object(eventstream, "send_event"):
            await project.asave()
        streams.reconcile_now()
        await client.until(lambda client: client.events)
        await environment.arefresh_from_db()
        assert client.events == [sse.frame(environment.updated_at)]


async def test_reconcile_now__gate_closed_without_an_event__nothing_more_is_delivered(
    streams: hub.Hub, client: Client, environment: Environment, project: Project
) -> None:
    project.enable_realtime_updates = False
    with mock.patch.object(eventstream, "send_event"):
        await project.asave()
    reconciled: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    accept = mock.Mock(side_effect=lambda state: reconciled.done() or reconciled.set_result(state))
    with mock.patch.object(hub.Topic, "reconcile", accept):
        streams.reconcile_now()
        assert not (await asyncio.wait_for(reconciled, PATIENCE)).streaming_enabled
    await raise_unannounced(environment)
    streams.reconcile_now()
    assert len(client.events) == 1


async def test_event__late_and_gate_closed__not_delivered(
    streams: hub.Hub, client: Client, environment: Environment, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an outage of Redis, or if the listener was delayed."""
    monkeypatch.setattr(hub, "MAX_EVENT_AGE_SECONDS", 0.0)
    sent = eventstream.parse((await raise_unannounced(environment)).split(b"data: ")[1].decode())
    project.enable_realtime_updates = False
    await project.asave()
    eventstream.publish_here(EnvironmentState(EnvironmentKey(environment.api_key), sent, True))
    # The hub's read runs in the same thread before this one.
    await asyncio.sleep(0)
    await streams.reader.result(EnvironmentKey(environment.api_key))
    project.enable_realtime_updates = True
    await project.asave()
    await environment.arefresh_from_db()
    frame = sse.frame(environment.updated_at)
    await client.until(lambda client: client.events[-1:] == [frame])
    assert sse.frame(sent) not in client.events


async def test_event__late_and_gate_open__newest_state_is_delivered(
    streams: hub.Hub, client: Client, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "MAX_EVENT_AGE_SECONDS", 0.0)
    sent = eventstream.parse((await raise_unannounced(environment)).split(b"data: ")[1].decode())
    frame = await raise_unannounced(environment)
    late = EnvironmentState(EnvironmentKey(environment.api_key), sent, True)
    eventstream.publish_here(late)
    await client.until(lambda client: client.events[-1:] == [frame])
    # The same event again causes no read.
    with mock.patch.object(EmbeddedHost, "states", side_effect=AssertionError):
        eventstream.publish_here(late)
        await asyncio.sleep(0)
    assert sse.frame(sent) not in client.events


def receive(state: EnvironmentState) -> None:
    """Receive the event of this state from the bus."""
    eventstream.receive(eventstream.encode(state).encode())


@pytest.mark.parametrize("is_known", [False, True])
async def test_remote_event__detached_servers_with_separate_databases__received_version_is_delivered(
    streams: hub.Hub, settings: Settings, is_known: bool
) -> None:
    settings.REALTIME_HOST = "detached"
    received = EnvironmentState(EnvironmentKey("posted-elsewhere"), timezone.now(), True)
    if is_known:
        await ExternalEnvironment.objects.acreate(key=received.key, updated_at=received.updated_at - DAY)
    async with stream(received.key) as client:
        await client.opened()
        receive(received)
        await client.until(lambda client: client.events[-1:] == [sse.frame(received.updated_at)])


async def test_remote_event__detached_server_has_a_newer_version__the_newer_one_is_delivered(
    streams: hub.Hub, settings: Settings
) -> None:
    """A newer version was posted to this server, and its event has not been delivered yet."""
    settings.REALTIME_HOST = "detached"
    received = EnvironmentState(EnvironmentKey("posted-here-too"), first_readable(timezone.now()), True)
    newer = first_readable(received.updated_at + timedelta(seconds=1))
    async with stream(received.key) as client:
        await client.opened()
        await ExternalEnvironment.objects.acreate(key=received.key, updated_at=newer)
        receive(received)
        await client.until(lambda client: client.events[-1:] == [sse.frame(newer)])


async def test_remote_event__unknown_environment__not_delivered(
    streams: hub.Hub, client: Client, environment: Environment
) -> None:
    """As for an event of an environment that was deleted meanwhile."""
    unknown = EnvironmentKey("deleted-environment")
    async with stream(unknown) as other:
        await other.opened()
        receive(EnvironmentState(unknown, first_readable(timezone.now()), True))
        # The hub's read runs in the same thread before this one.
        await asyncio.sleep(0)
        await streams.reader.result(unknown)
        frame = await raise_unannounced(environment)
        streams.reconcile_now()
        await client.until(lambda client: client.events[-1:] == [frame])
        assert other.events == []


async def test_remote_event__newer_than_the_database__not_delivered(
    streams: hub.Hub, client: Client, environment: Environment
) -> None:
    """Promise I3: the API does not serve that state."""
    key = EnvironmentKey(environment.api_key)
    receive(EnvironmentState(key, timezone.now() + DAY, True))
    await asyncio.sleep(0)
    await streams.reader.result(key)
    frame = await raise_unannounced(environment)
    streams.reconcile_now()
    await client.until(lambda client: client.events[1:] == [frame])


@pytest.mark.parametrize("seconds", [-5, 0, 5])
@pytest.mark.parametrize("is_remote", [True, False], ids=["bus", "this process"])
async def test_event__processed_after_the_gate_was_closed__not_delivered(
    streams: hub.Hub, client: Client, environment: Environment, project: Project, is_remote: bool, seconds: int
) -> None:
    """The event was late, or the loop was blocked. The clock of the version may be ahead or behind."""
    if not is_remote and seconds == 0:
        pytest.skip("a recent event of this process holds the state as of its commit")
    key = EnvironmentKey(environment.api_key)
    version = first_readable(timezone.now() + timedelta(seconds=seconds))
    await sync_to_async(Environment.objects.filter(pk=environment.pk).update)(updated_at=version)
    project.enable_realtime_updates = False
    with mock.patch.object(eventstream, "publish_here"):
        await project.asave()
    state = EnvironmentState(key, version, True)
    receive(state) if is_remote else eventstream.publish_here(state)
    await asyncio.sleep(0)
    await streams.reader.result(key)
    project.enable_realtime_updates = True
    await project.asave()
    await environment.arefresh_from_db()
    await client.until(lambda client: client.events[-1:] == [sse.frame(environment.updated_at)])
    assert sse.frame(version) not in client.events


@contextmanager
def states_failing_once() -> Iterator[list[Any]]:
    """Let the first read of states fail. Yields the keys of all reads."""
    real = EmbeddedHost.states
    calls: list[Any] = []

    def failing_once(host: EmbeddedHost, keys: Any) -> Any:
        calls.append(keys)
        if len(calls) == 1:
            raise DatabaseError("gone")
        return real(host, keys)

    with mock.patch.object(EmbeddedHost, "states", failing_once):
        yield calls


async def test_event__late_and_first_read_fails__delivered_after_the_next_read(
    streams: hub.Hub, client: Client, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "MAX_EVENT_AGE_SECONDS", 0.0)
    frame = await raise_unannounced(environment)
    sent = EnvironmentState(
        EnvironmentKey(environment.api_key), eventstream.parse(frame.split(b"data: ")[1].decode()), True
    )
    with states_failing_once():
        eventstream.publish_here(sent)
        await client.until(lambda client: client.events[-1:] == [frame])


async def test_event__host_is_flagsmith__delivered_when_its_processes_have_answered(
    streams: hub.Hub, client: Client, environment: Environment, settings: Settings
) -> None:
    """Also an event of this process, which announces scheduled changes: others may have cached an older state."""
    settings.REALTIME_HOST = "flagsmith"
    frame = await raise_unannounced(environment)
    version = eventstream.parse(frame.split(b"data: ")[1].decode())
    asked, answered = threading.Event(), threading.Event()

    def wait_for_answers(states: Any) -> None:
        if any(state.updated_at == version for state in states):
            asked.set()
            answered.wait(PATIENCE)

    with mock.patch.object(cache_notifier, "wait_for_caches", wait_for_answers):
        eventstream.publish_here(EnvironmentState(EnvironmentKey(environment.api_key), version, True))
        try:
            assert await asyncio.to_thread(asked.wait, PATIENCE)
            assert frame not in client.events
        finally:
            answered.set()
    await client.until(lambda client: client.events[-1:] == [frame])


async def test_repeat__read_fails__event_is_repeated_after_the_next_read(
    streams: hub.Hub,
    client: Client,
    environment: Environment,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The JavaScript SDK may have ignored the event the first time."""
    # On a slow machine the event may be late. It must not cause a read here.
    monkeypatch.setattr(hub, "MAX_EVENT_AGE_SECONDS", PATIENCE)
    settings.REALTIME_REPEAT_SECONDS = settings.REALTIME_RECONCILE_SECONDS = 0.2
    with states_failing_once() as calls:
        for _ in range(2):
            sent = EnvironmentState(EnvironmentKey(environment.api_key), timezone.now(), True)
            eventstream.publish_here(sent)
        await client.until(lambda client: client.events[-2:] == 2 * [sse.frame(sent.updated_at)])
    assert len(calls) == 2


async def test_repeat__repeat_all__single_event_is_repeated(
    client: Client, environment: Environment, settings: Settings
) -> None:
    """A publisher may post a version before it commits it."""
    settings.REALTIME_REPEAT_SECONDS, settings.REALTIME_REPEAT_ALL = 0.001, True
    sent = EnvironmentState(EnvironmentKey(environment.api_key), timezone.now(), True)
    eventstream.publish_here(sent)
    await client.until(lambda client: client.events[-2:] == 2 * [sse.frame(sent.updated_at)])


async def test_event__listener_of_a_closed_loop__other_listeners_receive_it(
    client: Client, environment: Environment
) -> None:
    """As in a process in which a second server was not shut down properly."""
    key = EnvironmentKey(environment.api_key)

    async def leave_a_stream_open() -> None:
        eventstream.EnvironmentListener(key, lambda events, overflow: None).start()

    await asyncio.to_thread(asyncio.run, leave_a_stream_open())
    for _ in range(2):
        sent = EnvironmentState(key, timezone.now(), True)
        eventstream.publish_here(sent)
        await client.until(lambda client: client.events[-1:] == [sse.frame(sent.updated_at)])  # noqa: B023
    # The closed loop's listener has removed itself.
    assert len(get_listener_manager().listeners_by_channel[eventstream.channel(key)]) == 1


async def test_healed__version_found_by_the_reconcile__counted_and_one_announced_by_the_bus_is_not(
    streams: hub.Hub, client: Client, environment: Environment
) -> None:
    def healed() -> int:
        return int(metrics.healed.collect(counters.sums()).samples[0].value)

    before = healed()
    await sync_to_async(environment.save)()
    frame = await raise_unannounced(environment)
    streams.reconcile_now()
    await client.until(lambda client: client.events[-1:] == [frame])
    assert healed() == before + 1
    done = int(counters.sums()["realtime_reconciles done"])
    streams.reconcile_now()
    await eventually(lambda: counters.sums()["realtime_reconciles done"] > done)
    assert healed() == before + 1


async def test_reconcile__database_fails_twice__retries_soon(
    streams: hub.Hub, client: Client, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "RETRY_SECONDS", 0.05)
    real, calls = EmbeddedHost.changed_since, []

    def failing_twice(host: EmbeddedHost, moment: Any) -> Any:
        calls.append(moment)
        if len(calls) <= 2:
            raise DatabaseError("gone")
        return real(host, moment)

    with mock.patch.object(EmbeddedHost, "changed_since", failing_twice):
        frame = await raise_unannounced(environment)
        streams.reconcile_now()
        await client.until(lambda client: client.events[-1:] == [frame])
    # The failed queries are repeated for the same period.
    assert len(set(calls)) == 1


async def test_reconcile__first_failure__retries_immediately(
    streams: hub.Hub,
    client: Client,
    environment: Environment,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after the database has closed an idle connection."""
    settings.REALTIME_RECONCILE_SECONDS = 2 * PATIENCE
    monkeypatch.setattr(reconcile, "RETRY_SECONDS", 2 * PATIENCE)
    frame = await raise_unannounced(environment)
    real, calls = EmbeddedHost.changed_since, []

    def failing_once(host: EmbeddedHost, moment: Any) -> Any:
        calls.append(moment)
        if len(calls) == 1:
            raise OperationalError("gone")
        return real(host, moment)

    with mock.patch.object(EmbeddedHost, "changed_since", failing_once):
        streams.reconcile_now()
        await client.until(lambda client: client.events[-1:] == [frame])


async def test_bus__reconnected__hubs_reconcile(streams: hub.Hub, client: Client, environment: Environment) -> None:
    frame = await raise_unannounced(environment)
    # As the back ends do.
    bus.current().on_connect()
    await client.until(lambda client: client.events[-1:] == [frame])


async def test_reconcile_now__loop_closed__does_nothing() -> None:
    async def run() -> hub.Hub:
        made = hub.current()
        await runtime.current().close()
        return made

    made = await asyncio.to_thread(asyncio.run, run())
    assert made.loop.is_closed()
    made.reconcile_now()


def test_bus__two_hubs__listens_until_the_last_one_is_closed() -> None:
    opened, leave = threading.Event(), threading.Event()

    async def first() -> None:
        hub.current()
        opened.set()
        await asyncio.to_thread(leave.wait, PATIENCE)
        await runtime.current().close()

    async def second() -> None:
        hub.current()
        await runtime.current().close()

    thread = threading.Thread(target=asyncio.run, args=(first(),))
    thread.start()
    assert opened.wait(PATIENCE)
    asyncio.run(second())
    assert bus.current().health().since is not None
    leave.set()
    thread.join()
    assert bus.current().health().since is None


@pytest.fixture
def read_when_stale(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only stale topics are read: the query finds no changes, and the turns of other topics are a year apart."""
    monkeypatch.setattr(reconcile, "OVERLAP", timedelta(days=365))
    with mock.patch.object(EmbeddedHost, "changed_since", return_value=[]):
        yield


@pytest.mark.usefixtures("read_when_stale")
async def test_refresh__during_the_read_of_a_refresh__reads_again(
    streams: hub.Hub, client: Client, environment: Environment
) -> None:
    topic = streams.topics[EnvironmentKey(environment.api_key)]
    real, began, released = EmbeddedHost.states, threading.Event(), threading.Event()

    def blocked(host: EmbeddedHost, keys: Any) -> Any:
        states = real(host, keys)
        began.set()
        assert released.wait(PATIENCE)
        return states

    with mock.patch.object(EmbeddedHost, "states", blocked):
        streams.refresh(topic)
        await asyncio.to_thread(began.wait, PATIENCE)
        frame = await raise_unannounced(environment)
        streams.refresh(topic)
        released.set()
        await client.until(lambda client: client.events[-1:] == [frame])


@pytest.mark.usefixtures("read_when_stale")
async def test_refresh__read_fails__reads_until_it_succeeds(
    streams: hub.Hub, client: Client, environment: Environment
) -> None:
    frame = await raise_unannounced(environment)
    with states_failing_once() as calls:
        streams.refresh(streams.topics[EnvironmentKey(environment.api_key)])
        await client.until(lambda client: client.events[-1:] == [frame])
    assert len(calls) == 2
