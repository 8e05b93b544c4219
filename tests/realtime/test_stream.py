"""Streams and the hub in one event loop, for conditions that a test on sockets cannot control."""

import asyncio
import threading
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError
from django_eventstream import send_event
from django_eventstream.views import get_listener_manager
from pytest_django import Settings

from environments.models import Environment
from features.models import FeatureState
from projects.models import Project
from realtime import bus, runtime
from realtime.bus import eventstream
from realtime.bus.memory import MemoryBus
from realtime.delivery import hub, sse
from realtime.hosts import EmbeddedHost
from realtime.types import TICK, EnvironmentKey, EnvironmentState, UpdatedAt
from tests.realtime.clock import skip
from tests.support.asgi import Client, eventually, stream
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@sync_to_async
def toggle(state: FeatureState) -> bytes:
    """Toggle the flag, and return the frame of the new version."""
    state.enabled = not state.enabled
    state.save()
    return latest(state.environment)


def latest(environment: Environment) -> bytes:
    return sse.frame(Environment.objects.values_list("updated_at", flat=True).get(pk=environment.pk))


@sync_to_async
def gate(project: Project, is_open: bool) -> None:
    project.enable_realtime_updates = is_open
    project.save()


@sync_to_async
def read(environment: Environment) -> bytes:
    return latest(environment)


async def later(streams: hub.Hub, seconds: float) -> None:
    """Move the clock forward, and wait until the hub has done what was due."""
    skip(seconds)
    # Timers fire in the first iterations of the loop, and start their tasks.
    for _ in range(3):
        await asyncio.sleep(0)
    await eventually(lambda: len(streams._tasks) == 1)


async def test_stream__connect__newest_event_then_each_change(
    streams: hub.Hub, state: FeatureState, environment: Environment
) -> None:
    async with stream(environment.api_key) as client:
        await client.until(lambda client: client.events)
        assert client.events == [await read(environment)]
        frame = await toggle(state)
        await client.until(lambda client: len(client.events) == 2)
        assert client.events[-1] == frame


async def test_stream__gate_closed__only_comments_until_it_opens(
    streams: hub.Hub, project: Project, state: FeatureState, environment: Environment
) -> None:
    await gate(project, False)
    async with stream(environment.api_key) as client:
        await client.opened()
        assert b"off" in client.chunks[1]
        await toggle(state)
        await gate(project, True)
        await client.until(lambda client: client.events)
        assert client.events == [await read(environment)]
        await gate(project, False)
        await toggle(state)
        await gate(project, True)
        await client.until(lambda client: len(client.events) > 1)
        assert client.events[1] == await read(environment)


async def test_stream__last_one_closed__topic_and_listener_are_removed(
    streams: hub.Hub, state: FeatureState, environment: Environment
) -> None:
    async with stream(environment.api_key) as first, stream(environment.api_key) as second:
        await first.opened()
        await second.opened()
        assert len(streams.topics) == 1
    assert streams.topics == {}
    assert eventstream.channel(environment.api_key) not in get_listener_manager().listeners_by_channel  # type: ignore[arg-type]


async def test_stream__client_does_not_read__others_are_served_and_it_gets_only_the_latest(
    streams: hub.Hub, state: FeatureState, environment: Environment
) -> None:
    async with stream(environment.api_key) as slow, stream(environment.api_key) as quick:
        await slow.opened()
        await quick.opened()
        slow.reading.clear()
        for count in range(1, 21):
            frame = await toggle(state)
            await quick.until(lambda client, count=count: len(client.events) == count + 1)
        before = len(slow.events)
        slow.reading.set()
        await slow.until(lambda client: client.events[-1] == frame)
        # The one that was being written, and the latest.
        assert len(slow.events) <= before + 2


async def test_stream__gate_closed_while_an_event_is_pending__event_is_dropped(
    streams: hub.Hub, project: Project, state: FeatureState, environment: Environment
) -> None:
    """Promise I6 for events in a mailbox, also if the stream ends before its client reads on."""
    async with stream(environment.api_key) as slow, stream(environment.api_key) as ending:
        for client in (slow, ending):
            await client.opened()
            client.reading.clear()
        written = await toggle(state)
        await eventually(lambda: slow.blocked and ending.blocked)
        waiting = await toggle(state)
        await eventually(lambda: streams.topics[environment.api_key].updated_at == version_of(waiting))  # type: ignore[index]
        await gate(project, False)
        await eventually(lambda: streams.topics[environment.api_key].is_closed)  # type: ignore[index]
        draining = asyncio.create_task(streams.drain(0))
        slow.reading.set()
        await later(streams, 1)
        ending.reading.set()
        await draining
        for client in (slow, ending):
            assert client.ended
            assert written in client.events
            assert waiting not in client.events


async def test_stream__gate_closed_and_opened_while_an_event_is_pending__newest_state_follows(
    streams: hub.Hub, project: Project, state: FeatureState, environment: Environment
) -> None:
    async with stream(environment.api_key) as slow:
        await slow.opened()
        slow.reading.clear()
        await toggle(state)
        await eventually(lambda: slow.blocked)
        waiting = await toggle(state)
        await gate(project, False)
        await gate(project, True)
        newest = await read(environment)
        slow.reading.set()
        await slow.until(lambda client: client.events[-1] == newest)
        assert waiting not in slow.events


async def test_topic__gate_opened_without_a_new_version__state_is_delivered_again(
    streams: hub.Hub, environment: Environment
) -> None:
    """As with a real Flagsmith, whose gate raises no version. Streams may have dropped pending events."""
    async with stream(environment.api_key) as client:
        await client.opened()
        topic = streams.topics[environment.api_key]  # type: ignore[index]
        (event,) = client.events
        state = EnvironmentState(topic.key, version_of(event), True)
        assert not topic.accept(state._replace(streaming_enabled=False))
        assert topic.accept(state)
        await client.until(lambda client: client.events == [event, event])


async def test_stream__gate_closed_during_its_first_read__gets_no_event(
    streams: hub.Hub, environment: Environment
) -> None:
    key = environment.api_key
    states, may_answer = EmbeddedHost.states, threading.Event()

    def slowly(host: EmbeddedHost, keys: Any) -> Any:
        found = states(host, keys)
        assert may_answer.wait(PATIENCE)
        return found

    async with stream(key) as first:
        await first.opened()
        topic = streams.topics[key]  # type: ignore[index]
        with mock.patch.object(EmbeddedHost, "states", slowly):
            async with stream(key) as second:
                await second.until(lambda client: client.chunks)
                newer = EnvironmentState(topic.key, version_of(first.events[0]) + TICK, False)
                assert not topic.accept(newer)
                # An older state, read before, changes nothing.
                assert not topic.accept(newer._replace(updated_at=newer.updated_at - TICK, streaming_enabled=True))
                may_answer.set()
                await second.until(lambda client: len(client.chunks) > 1)
                assert b"off" in second.chunks[1]
                assert second.events == []


async def test_topic__older_version_with_another_gate_on_a_flagsmith__gate_is_accepted(
    streams: hub.Hub, environment: Environment, long_periods: Settings
) -> None:
    """A real Flagsmith's tasks write versions in any order."""
    long_periods.REALTIME_HOST = "flagsmith"
    async with stream(environment.api_key) as client:
        await client.opened()
        topic = streams.topics[environment.api_key]  # type: ignore[index]
        newest = version_of(client.events[0])
        older = EnvironmentState(topic.key, newest - TICK, True)
        assert not topic.accept(older)
        assert not topic.accept(older._replace(streaming_enabled=False))
        assert topic.is_closed
        assert topic.accept(older)
        await client.until(lambda client: len(client.events) == 2)
        assert version_of(client.events[1]) == newest


def version_of(frame: bytes) -> UpdatedAt:
    return eventstream.parse(frame.split(b"data: ")[1].decode())


async def test_stream__client_never_reads__aborted_half_a_minute_after_its_age(
    streams: hub.Hub, state: FeatureState, environment: Environment, settings: object
) -> None:
    settings.REALTIME_STREAM_SECONDS = 600  # type: ignore[attr-defined]
    client = Client(f"/sse/environments/{environment.api_key}/stream")
    task = asyncio.create_task(client.run())
    await client.opened()
    client.reading.clear()
    await toggle(state)
    await eventually(lambda: client.blocked)
    await later(streams, 600)
    await later(streams, 15)
    assert not task.done()
    await later(streams, 16)
    await asyncio.wait_for(task, PATIENCE)
    assert streams.topics == {}


@pytest.mark.parametrize(
    "agent, open_until, ends_by",
    [("Dart/3.4 (dart:io)", 15, 31), ("Faraday v2.7.4", 15, 31), ("Mozilla/5.0 (X11)", 400, 601), ("curl/8", 400, 601)],
)
async def test_stream__kind_of_client__ends_at_its_age(
    streams: hub.Hub, environment: Environment, settings: Settings, agent: str, open_until: float, ends_by: float
) -> None:
    settings.REALTIME_STREAM_SECONDS = 600
    async with stream(environment.api_key, {"user-agent": agent}) as client:
        await client.opened()
        assert client.chunks[0].startswith(b"retry: 1000\n") is agent.startswith("Mozilla/")
        await later(streams, open_until)
        assert not client.ended
        await later(streams, ends_by - open_until)
        await client.until(lambda client: client.ended)


async def test_stream__listener_overflows__state_is_read_again(streams: hub.Hub, environment: Environment) -> None:
    async with stream(environment.api_key) as client:
        await client.opened()
        # Without an iteration of the loop in between, the eleventh and newest event is dropped.
        await sync_to_async(environment.refresh_from_db)()
        newest = environment.updated_at
        with mock.patch.object(EmbeddedHost, "states", autospec=True, side_effect=EmbeddedHost.states) as states:
            for ahead in range(11):
                version = newest + timedelta(milliseconds=ahead)
                eventstream.publish_here(EnvironmentState(EnvironmentKey(environment.api_key), version, True))
            await client.until(lambda client: len(client.events) > 1)
            await eventually(lambda: states.called)
        assert client.events[0] == sse.frame(newest)
        assert client.events[-1] > client.events[0]


async def test_stream__event_lost__delivered_by_the_reconcile(
    streams: hub.Hub, state: FeatureState, environment: Environment, settings: object
) -> None:
    async with stream(environment.api_key) as client:
        await client.opened()
        with mock.patch.object(eventstream, "send_event"):
            frame = await toggle(state)
        settings.REALTIME_RECONCILE_SECONDS = 0.05  # type: ignore[attr-defined]
        streams.reconcile_now()
        await client.until(lambda client: client.events[-1] == frame)


async def test_stream__first_reads_fail__same_stream_gets_its_event(
    streams: hub.Hub, environment: Environment, settings: object
) -> None:
    settings.REALTIME_RECONCILE_SECONDS = 0.05  # type: ignore[attr-defined]
    real, calls = EmbeddedHost.states, []

    def failing_twice(host: EmbeddedHost, keys: object) -> object:
        calls.append(keys)
        if len(calls) <= 2:
            raise DatabaseError("gone")
        return real(host, keys)  # type: ignore[arg-type]

    with mock.patch.object(EmbeddedHost, "states", failing_twice):
        async with stream(environment.api_key) as client:
            await client.until(lambda client: client.events)
    # The stream requests the state again before a slow read has ended, so there may be one more.
    assert len(calls) >= 3
    assert b"cannot be read" in client.chunks[1]


async def test_stream__reconcile_fails__event_is_delivered_afterwards(
    streams: hub.Hub, state: FeatureState, environment: Environment, settings: object
) -> None:
    failed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def failing(host: EmbeddedHost, moment: object) -> object:
        loop.call_soon_threadsafe(failed.set)
        raise DatabaseError("gone")

    async with stream(environment.api_key) as client:
        await client.opened()
        with mock.patch.object(EmbeddedHost, "changed_since", failing):
            with mock.patch.object(eventstream, "send_event"):
                frame = await toggle(state)
            settings.REALTIME_RECONCILE_SECONDS = 0.02  # type: ignore[attr-defined]
            streams.reconcile_now()
            await asyncio.wait_for(failed.wait(), PATIENCE)
            failed.clear()
            await asyncio.wait_for(failed.wait(), PATIENCE)
        await client.until(lambda client: client.events[-1] == frame)


async def test_stream__two_close_changes__last_event_is_repeated_once(
    streams: hub.Hub, state: FeatureState, environment: Environment, settings: object
) -> None:
    settings.REALTIME_REPEAT_SECONDS = 600  # type: ignore[attr-defined]
    async with stream(environment.api_key) as client:
        await client.opened()
        await toggle(state)
        last = await toggle(state)
        await client.until(lambda client: client.events[-1] == last)
        await later(streams, 600)
        await client.until(lambda client: client.events.count(last) == 2)
        async with stream(environment.api_key) as late:
            await late.opened()
            await later(streams, 600)
            marker = await toggle(state)
            await client.until(lambda client: client.events[-1] == marker)
            assert client.events.count(last) == 2
            assert late.events == [last, marker]


async def test_stream__opened_between_an_event_and_its_repetition__gets_it_once(
    streams: hub.Hub, state: FeatureState, environment: Environment, settings: object
) -> None:
    settings.REALTIME_REPEAT_SECONDS = 600  # type: ignore[attr-defined]
    async with stream(environment.api_key) as early:
        await early.opened()
        await toggle(state)
        last = await toggle(state)
        await early.until(lambda client: client.events[-1] == last)
        async with stream(environment.api_key) as late:
            await late.until(lambda client: client.events)
            await later(streams, 600)
            await early.until(lambda client: client.events.count(last) == 2)
            marker = await toggle(state)
            await late.until(lambda client: client.events[-1] == marker)
        assert late.events == [last, marker]


async def test_stream__gate_closed_before_the_repetition__not_repeated(
    streams: hub.Hub, project: Project, state: FeatureState, environment: Environment, settings: object
) -> None:
    settings.REALTIME_REPEAT_SECONDS = 600  # type: ignore[attr-defined]
    async with stream(environment.api_key) as client:
        await client.opened()
        await toggle(state)
        last = await toggle(state)
        await client.until(lambda client: client.events[-1] == last)
        await gate(project, False)
        await later(streams, 600)
        await gate(project, True)
        marker = await read(environment)
        await client.until(lambda client: client.events[-1] == marker)
        assert client.events.count(last) == 1


async def test_stream__foreign_event_on_the_channel__ignored(
    streams: hub.Hub, state: FeatureState, environment: Environment
) -> None:
    async with stream(environment.api_key) as client:
        await client.opened()
        channel = eventstream.channel(environment.api_key)  # type: ignore[arg-type]
        for data in ("{}", '{"updated_at": "soon"}', "[", "null", '{"updated_at": 1e400}'):
            send_event(channel, eventstream.EVENT, data, json_encode=False)
        send_event(channel, "something_else", {})
        frame = await toggle(state)
        await client.until(lambda client: len(client.events) > 1)
        assert client.events[1:] == [frame]


async def test_stream__older_version_on_the_bus__ignored(
    streams: hub.Hub, state: FeatureState, environment: Environment
) -> None:
    async with stream(environment.api_key) as client:
        await client.opened()
        older = environment.updated_at - timedelta(days=1)
        send_event(
            eventstream.channel(environment.api_key), eventstream.EVENT, eventstream.data(older), json_encode=False
        )  # type: ignore[arg-type]
        frame = await toggle(state)
        await client.until(lambda client: len(client.events) > 1)
        assert client.events[1:] == [frame]


async def test_stream__internal_error__ends_cleanly(streams: hub.Hub, environment: Environment) -> None:
    with mock.patch.object(hub.Topic, "request_state", side_effect=RuntimeError("a bug")):
        async with stream(environment.api_key) as client:
            await client.until(lambda client: client.ended)
    assert client.sent[0]["status"] == 200
    assert streams.open_count == 0


async def test_stream__cancelled_by_the_server__ends_cleanly(streams: hub.Hub, environment: Environment) -> None:
    client = Client(f"/sse/environments/{environment.api_key}/stream")
    task = asyncio.create_task(client.run())
    await client.opened()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.ended


async def test_reader__many_concurrent_requests__few_queries(streams: hub.Hub, environment: Environment) -> None:
    with mock.patch.object(EmbeddedHost, "states", autospec=True, side_effect=EmbeddedHost.states) as states:
        answers = await asyncio.gather(*(streams.reader.result(environment.api_key) for _ in range(500)))  # type: ignore[arg-type]
    assert {answer.key for answer in answers if answer} == {environment.api_key}
    assert states.call_count <= 2


async def test_reader__requested_while_a_query_runs__answered_by_a_later_query(
    streams: hub.Hub, state: FeatureState, environment: Environment
) -> None:
    """A state never comes from a read that began before its request."""
    real, began, go_on = EmbeddedHost.states, asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow(host: EmbeddedHost, keys: object) -> object:
        found = real(host, keys)  # type: ignore[arg-type]
        loop.call_soon_threadsafe(began.set)
        go_on.wait(PATIENCE)
        return found

    with mock.patch.object(EmbeddedHost, "states", slow):
        early = asyncio.create_task(streams.reader.result(environment.api_key))  # type: ignore[arg-type]
        await asyncio.wait_for(began.wait(), PATIENCE)
        frame = await toggle(state)
        late = asyncio.create_task(streams.reader.result(environment.api_key))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        go_on.set()
        before, after = await early, await late
    assert before is not None
    assert after is not None
    assert sse.frame(before.updated_at) != frame
    assert sse.frame(after.updated_at) == frame


async def test_drain__open_streams__end_within_the_window(streams: hub.Hub, environment: Environment) -> None:
    async with stream(environment.api_key) as first, stream("unknown") as second:
        await first.opened()
        await second.opened()
        await asyncio.wait_for(streams.drain(0.3), PATIENCE)
        assert first.ended
        assert second.ended
        async with stream(environment.api_key) as late:
            await late.until(lambda client: client.ended)
        assert (b"connection", b"close") in late.sent[0]["headers"]


async def test_drain__no_streams__returns_immediately(streams: hub.Hub) -> None:
    await asyncio.wait_for(streams.drain(2 * PATIENCE), PATIENCE)


async def test_hub__attaching_the_bus_fails__streams_work_and_it_is_retried(
    long_periods: Settings, state: FeatureState, environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    long_periods.REALTIME_RECONCILE_SECONDS = 0.01
    failing = mock.patch.object(MemoryBus, "start", side_effect=RuntimeError("can't start new thread"))
    long_periods.REALTIME_BUS = "memory"
    with failing as start:
        streams = hub.current()
        async with stream(environment.api_key) as client:
            await client.opened()
            await eventually(lambda: start.call_count > 2)
            assert hub.current() is streams
            frame = await toggle(state)
            await client.until(lambda client: client.events[-1] == frame)
    assert sum("bus_attach_failed" in record.getMessage() for record in caplog.records) == 1
    await eventually(lambda: bus.health().connected)
    await runtime.current().close()


async def test_hub__background_task_fails__logged(streams: hub.Hub, caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise RuntimeError("a bug")

    streams.spawn(fail())
    await eventually(lambda: "background_task_failed" in caplog.text)
