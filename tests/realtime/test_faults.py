"""What must blind nobody: keys that cannot be, a database that hangs, versions that come late, a gate that closes."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from environments.models import Environment
from projects.models import Project
from realtime import hosts, shared_reads
from realtime.bus import eventstream
from realtime.changes import publish
from realtime.delivery import hub, reconcile, sse
from realtime.hosts import EmbeddedHost
from realtime.models import ExternalEnvironment
from realtime.types import EnvironmentKey, EnvironmentState
from tests.realtime.clock import skip
from tests.support.asgi import stream
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def keyed(*keys: str) -> list[EnvironmentKey]:
    return [EnvironmentKey(key) for key in keys]


def test_states__keys_that_cannot_be_among_them__the_others_are_found(environment: Environment) -> None:
    asked = keyed("\0", "k" * 101, "", environment.api_key, "é" * 100)
    assert list(hosts.current().states(asked)) == [environment.api_key]


async def test_stream__null_byte_in_the_key_beside_it__is_served_all_the_same(
    streams: hub.Hub, environment: Environment
) -> None:
    async with stream("\0") as impossible, stream(environment.api_key) as client:
        await client.until(lambda client: client.events)
        await impossible.opened()
        assert b"no environment" in impossible.chunks[1]


async def test_stream__database_that_hangs__comments_go_on_and_the_stream_ends_cleanly(
    streams: hub.Hub, environment: Environment, settings: object
) -> None:
    settings.REALTIME_RECONCILE_SECONDS = 0.05  # type: ignore[attr-defined]
    settings.REALTIME_KEEPALIVE_SECONDS = 0.1  # type: ignore[attr-defined]
    settings.REALTIME_STREAM_SECONDS = 600  # type: ignore[attr-defined]
    released = threading.Event()
    with mock.patch.object(EmbeddedHost, "states", side_effect=lambda keys: released.wait(PATIENCE) and {}):
        async with stream(environment.api_key) as client:
            await client.until(lambda client: client.chunks.count(sse.KEEPALIVE) >= 2)
            assert not client.ended
            skip(600)
            await client.until(lambda client: client.ended)
        released.set()
    assert b"cannot be read" in client.chunks[1]


async def test_reader__closed_while_a_query_hangs__is_not_waited_for(
    streams: hub.Hub, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_reads, "CLOSE_SECONDS", 0.05)
    released = threading.Event()
    with mock.patch.object(EmbeddedHost, "states", side_effect=lambda keys: released.wait(2 * PATIENCE) and {}):
        asked = asyncio.create_task(streams.reader.state(EnvironmentKey(environment.api_key)))
        await asyncio.sleep(0)
        await asyncio.wait_for(streams.close(), PATIENCE)
        assert not asked.done()
        released.set()
        await asyncio.wait([asked])


async def test_stream__gate_that_closed_while_the_state_was_read__what_came_meanwhile_is_not_said(
    streams: hub.Hub, project: Project, environment: Environment
) -> None:
    key, loop = EnvironmentKey(environment.api_key), asyncio.get_running_loop()

    def closing(host: EmbeddedHost, keys: object) -> dict[EnvironmentKey, EnvironmentState]:
        offered = threading.Event()

        def offer() -> None:
            streams.topics[key].offer(EnvironmentState(key, timezone.now(), True))
            offered.set()

        loop.call_soon_threadsafe(offer)
        assert offered.wait(PATIENCE)
        return {key: EnvironmentState(key, timezone.now(), False)}

    with mock.patch.object(EmbeddedHost, "states", closing):
        async with stream(key) as client:
            await client.opened()
            assert b"off" in client.chunks[1]
    assert client.events == []


async def test_reconcile__publisher_whose_times_lie_back__is_heard_of_in_other_processes(
    streams: hub.Hub, settings: object
) -> None:
    settings.REALTIME_RECONCILE_SECONDS = 0.05  # type: ignore[attr-defined]
    streams.look()
    late = datetime(2026, 1, 1, tzinfo=UTC)
    async with stream("external") as client:
        await client.opened()
        # As another process does it: here nothing is published.
        await ExternalEnvironment.objects.acreate(key="external", updated_at=late)
        await client.until(lambda client: client.events)
    assert client.events == [sse.frame(late)]


async def test_reconcile__version_that_committed_long_after_it_was_raised__is_found_by_the_full_look(
    streams: hub.Hub, environment: Environment, settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REALTIME_RECONCILE_SECONDS = 0.05  # type: ignore[attr-defined]
    streams.look()
    monkeypatch.setattr(reconcile, "OVERLAP", timedelta(seconds=0.1))
    past = timezone.now() - timedelta(hours=2)
    newer = past + timedelta(hours=1)
    environments = Environment.objects.filter(pk=environment.pk)
    await sync_to_async(environments.update)(updated_at=past)
    async with stream("nobody's"), stream(environment.api_key) as client:
        await client.until(lambda client: client.events)
        await sync_to_async(environments.update)(updated_at=newer)
        await client.until(lambda client: client.events[-1] == sse.frame(newer))


def test_moved_since__key_that_the_database_has_come_to_know__is_the_databases_alone(
    environment: Environment, project: Project
) -> None:
    project.enable_realtime_updates = False
    project.save()
    ahead = timezone.now() + timedelta(hours=20)
    ExternalEnvironment.objects.create(key=environment.api_key, updated_at=ahead)
    moved = hosts.current().changed_since(timezone.now() - timedelta(minutes=1))
    assert [state for state in moved if state.key == environment.api_key and state.streaming_enabled] == []


def test_publish__state_whose_gate_is_closed__is_not_sent(environment: Environment) -> None:
    with mock.patch.object(eventstream, "send_event") as send:
        publish.publish([EnvironmentState(EnvironmentKey(environment.api_key), timezone.now(), False)])
    send.assert_not_called()
