"""The reconcile: what it costs, what it finds, and that it looks at once when the bus may have missed something."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_eventstream.views import get_listener_manager

from environments.models import Environment
from projects.models import Project
from realtime import bus, hosts
from realtime.bus import eventstream
from realtime.delivery import hub, reconcile, sse
from realtime.hosts import EmbeddedHost
from realtime.models import ExternalEnvironment
from realtime.monitoring import metrics
from realtime.monitoring.figures import figures
from realtime.types import EnvironmentKey, EnvironmentState, first_readable
from tests.bus.conftest import Settings
from tests.support.asgi import Client, eventually, stream
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

ENVIRONMENTS = 10_000

DAY = timedelta(days=1)

UUID = {"sqlite": "lower(hex(randomblob(16)))", "postgresql": "gen_random_uuid()"}


@pytest.fixture
async def streams(settings: Settings) -> AsyncIterator[hub.Hub]:
    """They look by themselves so seldom that what comes has come because they were told to look."""
    settings.REALTIME_RECONCILE_SECONDS = 60.0
    yield hub.current()
    await hub.current().close()


@pytest.fixture
async def client(streams: hub.Hub, environment: Environment) -> AsyncIterator[Client]:
    async with stream(environment.api_key) as client:
        await client.opened()
        yield client


async def move(environment: Environment) -> bytes:
    """Raise the version as a process does whose bus loses it. Returns the event that is due."""
    newer = first_readable(timezone.now())
    await sync_to_async(Environment.objects.filter(pk=environment.pk).update)(updated_at=newer)
    return sse.frame(newer)


def copy(environment: Environment, number: int) -> None:
    """So many more that differ only in what has to; keys are ``key-1`` and so on. By the ORM it takes seconds."""
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
    """How the database goes about it."""
    explain = "EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN "
    with connection.cursor() as cursor:
        cursor.execute(explain + statement)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def test_moved_since__very_many_environments__by_the_index_and_only_what_moved(project: Project) -> None:
    first = Environment.objects.create(name="first", project=project)
    Environment.objects.filter(pk=first.pk).update(updated_at=timezone.now() - timedelta(days=300))
    copy(first, ENVIRONMENTS)
    assert Environment.objects.count() == ENVIRONMENTS + 1
    now = timezone.now()
    Environment.objects.filter(api_key="key-7").update(updated_at=now)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE environments_environment")
    with CaptureQueriesContext(connection) as queries:
        moved = hosts.current().changed_since(now - reconcile.OVERLAP)
    assert [state.key for state in moved] == ["key-7"]
    asked, *_ = [query["sql"] for query in queries if "environments_environment" in query["sql"]]
    by_index = [line for line in plan(asked).splitlines() if "index" in line.lower() and "updated_at" in line]
    assert by_index, plan(asked)
    assert "scan on environments_environment" not in plan(asked).lower()
    assert "scan environments_environment" not in plan(asked).lower()


async def test_look__told_by_the_bus_in_any_thread__what_it_missed_goes_out_at_once(
    client: Client, environment: Environment
) -> None:
    frame = await move(environment)
    told = threading.Thread(target=hub.current().look)
    told.start()
    await client.until(lambda client: client.events[-1:] == [frame])
    told.join()


async def test_look__gate_opened_unheard__the_newest_state_goes_out(
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
        streams.look()
        await client.until(lambda client: client.events)
        await environment.arefresh_from_db()
        assert client.events == [sse.frame(environment.updated_at)]


async def test_look__gate_closed_unheard__nothing_goes_out_any_more(
    streams: hub.Hub, client: Client, environment: Environment, project: Project
) -> None:
    project.enable_realtime_updates = False
    with mock.patch.object(eventstream, "send_event"):
        await project.asave()
    looked: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    accept = mock.Mock(side_effect=lambda state: looked.done() or looked.set_result(state))
    with mock.patch.object(hub.Topic, "accept_from_reconcile", accept):
        streams.look()
        assert not (await asyncio.wait_for(looked, PATIENCE)).streaming_enabled
    await move(environment)
    streams.look()
    assert len(client.events) == 1


async def test_message__that_comes_after_the_gate_was_closed__nothing_goes_out(
    streams: hub.Hub, client: Client, environment: Environment, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a Redis that is back, or a listener that was held up, before this process has looked."""
    monkeypatch.setattr(hub, "LATE_SECONDS", 0.0)
    said = eventstream.parse((await move(environment)).split(b"data: ")[1].decode())
    project.enable_realtime_updates = False
    await project.asave()
    eventstream.deliver(EnvironmentState(EnvironmentKey(environment.api_key), said, True))
    # What the hub then reads comes by the same thread before this.
    await asyncio.sleep(0)
    await streams.reader.state(EnvironmentKey(environment.api_key))
    project.enable_realtime_updates = True
    await project.asave()
    await environment.arefresh_from_db()
    frame = sse.frame(environment.updated_at)
    await client.until(lambda client: client.events[-1:] == [frame])
    assert sse.frame(said) not in client.events


async def test_message__that_comes_late_and_the_gate_is_open__the_newest_state_goes_out(
    streams: hub.Hub, client: Client, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "LATE_SECONDS", 0.0)
    said = eventstream.parse((await move(environment)).split(b"data: ")[1].decode())
    frame = await move(environment)
    late = EnvironmentState(EnvironmentKey(environment.api_key), said, True)
    eventstream.deliver(late)
    await client.until(lambda client: client.events[-1:] == [frame])
    # Once more, for nothing.
    with mock.patch.object(EmbeddedHost, "states", side_effect=AssertionError):
        eventstream.deliver(late)
        await asyncio.sleep(0)
    assert sse.frame(said) not in client.events


def receive(state: EnvironmentState) -> None:
    """Let the bus bring the event of this state."""
    eventstream.receive(eventstream.encode(state).encode())


@pytest.mark.parametrize("is_known", [False, True])
async def test_message__detached_server_without_a_common_database__is_delivered_as_received(
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


async def test_message__detached_server_that_knows_a_newer_version__the_newer_one_is_delivered(
    streams: hub.Hub, settings: Settings
) -> None:
    """Posted here, while this process had not looked yet."""
    settings.REALTIME_HOST = "detached"
    received = EnvironmentState(EnvironmentKey("posted-here-too"), first_readable(timezone.now()), True)
    newer = first_readable(received.updated_at + timedelta(seconds=1))
    async with stream(received.key) as client:
        await client.opened()
        await ExternalEnvironment.objects.acreate(key=received.key, updated_at=newer)
        receive(received)
        await client.until(lambda client: client.events[-1:] == [sse.frame(newer)])


async def test_message__of_an_environment_that_the_database_does_not_have__nothing_is_delivered(
    streams: hub.Hub, client: Client, environment: Environment
) -> None:
    """A message that is left from an environment that was deleted."""
    unknown = EnvironmentKey("deleted-environment")
    async with stream(unknown) as other:
        await other.opened()
        receive(EnvironmentState(unknown, first_readable(timezone.now()), True))
        # What the hub reads for it comes by the same thread before this.
        await asyncio.sleep(0)
        await streams.reader.state(unknown)
        frame = await move(environment)
        streams.look()
        await client.until(lambda client: client.events[-1:] == [frame])
        assert other.events == []


async def test_message__version_that_the_database_does_not_have__nothing_is_delivered(
    streams: hub.Hub, client: Client, environment: Environment
) -> None:
    """Promise I3: the API does not serve that state."""
    key = EnvironmentKey(environment.api_key)
    receive(EnvironmentState(key, timezone.now() + DAY, True))
    await asyncio.sleep(0)
    await streams.reader.state(key)
    frame = await move(environment)
    streams.look()
    await client.until(lambda client: client.events[1:] == [frame])


@pytest.mark.parametrize("seconds", [-5, 0, 5])
@pytest.mark.parametrize("is_remote", [True, False], ids=["bus", "this process"])
async def test_event__processed_after_the_gate_was_closed__nothing_is_delivered(
    streams: hub.Hub, client: Client, environment: Environment, project: Project, is_remote: bool, seconds: int
) -> None:
    """The message was late, or the loop was held up. The clock that made the version may be ahead or behind."""
    if not is_remote and seconds == 0:
        pytest.skip("an event of this process that is in time is the state as of its commit")
    key = EnvironmentKey(environment.api_key)
    version = first_readable(timezone.now() + timedelta(seconds=seconds))
    await sync_to_async(Environment.objects.filter(pk=environment.pk).update)(updated_at=version)
    project.enable_realtime_updates = False
    with mock.patch.object(eventstream, "deliver"):
        await project.asave()
    state = EnvironmentState(key, version, True)
    receive(state) if is_remote else eventstream.deliver(state)
    await asyncio.sleep(0)
    await streams.reader.state(key)
    project.enable_realtime_updates = True
    await project.asave()
    await environment.arefresh_from_db()
    await client.until(lambda client: client.events[-1:] == [sse.frame(environment.updated_at)])
    assert sse.frame(version) not in client.events


@contextmanager
def states_failing_once() -> Iterator[list[Any]]:
    """The database is away for the first question; all that are asked."""
    real = EmbeddedHost.states
    calls: list[Any] = []

    def failing_once(host: EmbeddedHost, keys: Any) -> Any:
        calls.append(keys)
        if len(calls) == 1:
            raise DatabaseError("gone")
        return real(host, keys)

    with mock.patch.object(EmbeddedHost, "states", failing_once):
        yield calls


async def test_message__late_while_the_database_is_away__goes_out_when_that_is_back(
    streams: hub.Hub, client: Client, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "LATE_SECONDS", 0.0)
    frame = await move(environment)
    said = EnvironmentState(
        EnvironmentKey(environment.api_key), eventstream.parse(frame.split(b"data: ")[1].decode()), True
    )
    with states_failing_once():
        eventstream.deliver(said)
        await client.until(lambda client: client.events[-1:] == [frame])


async def test_repeat__database_away_at_its_moment__said_when_that_is_back(
    streams: hub.Hub,
    client: Client,
    environment: Environment,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The JavaScript SDK may have dropped what is said again."""
    # On a slow machine it may be late, and is not asked about for that here.
    monkeypatch.setattr(hub, "LATE_SECONDS", PATIENCE)
    settings.REALTIME_REPEAT_SECONDS = settings.REALTIME_RECONCILE_SECONDS = 0.2
    with states_failing_once() as calls:
        for _ in range(2):
            said = EnvironmentState(EnvironmentKey(environment.api_key), timezone.now(), True)
            eventstream.deliver(said)
        await client.until(lambda client: client.events[-2:] == 2 * [sse.frame(said.updated_at)])
    assert len(calls) == 2


async def test_repeat__of_all__a_single_event_is_said_again(
    client: Client, environment: Environment, settings: Settings
) -> None:
    """Its publisher may have told of it before it was committed."""
    settings.REALTIME_REPEAT_SECONDS, settings.REALTIME_REPEAT_ALL = 0.001, True
    said = EnvironmentState(EnvironmentKey(environment.api_key), timezone.now(), True)
    eventstream.deliver(said)
    await client.until(lambda client: client.events[-2:] == 2 * [sse.frame(said.updated_at)])


async def test_message__to_a_loop_that_has_ended_with_its_streams__the_others_hear_it(
    client: Client, environment: Environment
) -> None:
    """As in a process whose second server was not shut down in order."""
    key = EnvironmentKey(environment.api_key)

    async def leave_a_stream_open() -> None:
        eventstream.EnvironmentListener(key, lambda events, overflow: None).start()

    await asyncio.to_thread(asyncio.run, leave_a_stream_open())
    for _ in range(2):
        said = EnvironmentState(key, timezone.now(), True)
        eventstream.deliver(said)
        await client.until(lambda client: client.events[-1:] == [sse.frame(said.updated_at)])  # noqa: B023
    # It is no longer there.
    assert len(get_listener_manager().listeners_by_channel[eventstream.channel(key)]) == 1


async def test_healed__found_by_the_reconcile__is_counted_and_what_the_bus_brought_is_not(
    streams: hub.Hub, client: Client, environment: Environment
) -> None:
    def healed() -> int:
        return int(metrics.healed.told(figures.sums()).samples[0].value)

    before = healed()
    await sync_to_async(environment.save)()
    frame = await move(environment)
    streams.look()
    await client.until(lambda client: client.events[-1:] == [frame])
    assert healed() == before + 1
    done = int(figures.sums()["realtime_reconciles done"])
    streams.look()
    await eventually(lambda: figures.sums()["realtime_reconciles done"] > done)
    assert healed() == before + 1


async def test_reconcile__database_away__tries_again_long_before_its_time(
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
        frame = await move(environment)
        streams.look()
        await client.until(lambda client: client.events[-1:] == [frame])
    # What was not looked at is looked at then.
    assert len(set(calls)) == 1


async def test_reconcile__one_failure__reads_again_at_once(
    streams: hub.Hub,
    client: Client,
    environment: Environment,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As of a connection that the database has closed."""
    settings.REALTIME_RECONCILE_SECONDS = 2 * PATIENCE
    monkeypatch.setattr(reconcile, "RETRY_SECONDS", 2 * PATIENCE)
    frame = await move(environment)
    real, calls = EmbeddedHost.changed_since, []

    def failing_once(host: EmbeddedHost, moment: Any) -> Any:
        calls.append(moment)
        if len(calls) == 1:
            raise DatabaseError("gone")
        return real(host, moment)

    with mock.patch.object(EmbeddedHost, "changed_since", failing_once):
        streams.look()
        await client.until(lambda client: client.events[-1:] == [frame])


async def test_bus__connected_anew__every_hub_looks(streams: hub.Hub, client: Client, environment: Environment) -> None:
    frame = await move(environment)
    # As each back end does.
    bus.current().on_connect()
    await client.until(lambda client: client.events[-1:] == [frame])


async def test_look__loop_that_has_ended__is_passed_over() -> None:
    async def run() -> hub.Hub:
        made = hub.current()
        await made.close()
        return made

    made = await asyncio.to_thread(asyncio.run, run())
    assert made.loop.is_closed()
    made.look()


def test_bus__two_hubs__listens_until_the_last_is_closed() -> None:
    opened, leave = threading.Event(), threading.Event()

    async def first() -> None:
        made = hub.current()
        opened.set()
        await asyncio.to_thread(leave.wait, PATIENCE)
        await made.close()

    async def second() -> None:
        await hub.current().close()

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
    """Only topics that may have missed something are read: nothing moves by the index, and no topic's turn comes."""
    monkeypatch.setattr(reconcile, "OVERLAP", timedelta(days=365))
    with mock.patch.object(EmbeddedHost, "changed_since", return_value=[]):
        yield


@pytest.mark.usefixtures("read_when_stale")
async def test_overflow__while_the_state_is_read_again__it_is_read_once_more(
    streams: hub.Hub, client: Client, environment: Environment
) -> None:
    topic = streams.topics[EnvironmentKey(environment.api_key)]
    real, began, released = EmbeddedHost.states, threading.Event(), threading.Event()

    def held(host: EmbeddedHost, keys: Any) -> Any:
        states = real(host, keys)
        began.set()
        assert released.wait(PATIENCE)
        return states

    with mock.patch.object(EmbeddedHost, "states", held):
        streams.refresh(topic)
        await asyncio.to_thread(began.wait, PATIENCE)
        frame = await move(environment)
        streams.refresh(topic)
        released.set()
        await client.until(lambda client: client.events[-1:] == [frame])


@pytest.mark.usefixtures("read_when_stale")
async def test_overflow__the_state_cannot_be_read__it_is_read_until_it_can(
    streams: hub.Hub, client: Client, environment: Environment
) -> None:
    frame = await move(environment)
    with states_failing_once() as calls:
        streams.refresh(streams.topics[EnvironmentKey(environment.api_key)])
        await client.until(lambda client: client.events[-1:] == [frame])
    assert len(calls) == 2
