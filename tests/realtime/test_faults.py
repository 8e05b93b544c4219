"""Faults that must not affect streams: invalid keys, a database that hangs, late versions, a gate that closes."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from environments.models import Environment
from projects.models import Project
from realtime import batching, hosts, runtime
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


def test_states__invalid_keys__other_environments_are_found(environment: Environment) -> None:
    keys = keyed("\0", "k" * 101, "", environment.api_key, "é" * 100)
    assert list(hosts.current().states(keys)) == [environment.api_key]


async def test_stream__other_stream_with_a_null_byte_in_its_key__served(
    streams: hub.Hub, environment: Environment
) -> None:
    async with stream("\0") as impossible, stream(environment.api_key) as client:
        await client.until(lambda client: client.events)
        await impossible.opened()
        assert b"no environment" in impossible.chunks[1]


async def test_stream__database_hangs__keepalives_continue_and_the_stream_ends_cleanly(
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


async def test_reader__closed_while_a_query_hangs__does_not_wait(
    streams: hub.Hub, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "CLOSE_SECONDS", 0.05)
    released = threading.Event()
    with mock.patch.object(EmbeddedHost, "states", side_effect=lambda keys: released.wait(2 * PATIENCE) and {}):
        read = asyncio.create_task(streams.reader.result(EnvironmentKey(environment.api_key)))
        await asyncio.sleep(0)
        await asyncio.wait_for(runtime.current().close(), PATIENCE)
        assert not read.done()
        released.set()
        await asyncio.wait([read])


async def test_stream__gate_closed_during_the_first_read__events_received_meanwhile_are_not_delivered(
    streams: hub.Hub, project: Project, environment: Environment
) -> None:
    key, loop = EnvironmentKey(environment.api_key), asyncio.get_running_loop()

    def closing(host: EmbeddedHost, keys: object) -> dict[EnvironmentKey, EnvironmentState]:
        accepted = threading.Event()

        def accept() -> None:
            streams.topics[key].accept(EnvironmentState(key, timezone.now(), True))
            accepted.set()

        loop.call_soon_threadsafe(accept)
        assert accepted.wait(PATIENCE)
        return {key: EnvironmentState(key, timezone.now(), False)}

    with mock.patch.object(EmbeddedHost, "states", closing):
        async with stream(key) as client:
            await client.opened()
            assert b"off" in client.chunks[1]
    assert client.events == []


async def test_reconcile__posted_version_in_the_past__found_by_other_processes(
    streams: hub.Hub, settings: object
) -> None:
    settings.REALTIME_RECONCILE_SECONDS = 0.05  # type: ignore[attr-defined]
    streams.reconcile_now()
    late = datetime(2026, 1, 1, tzinfo=UTC)
    async with stream("external") as client:
        await client.opened()
        # As in another process, without an event in this one.
        await ExternalEnvironment.objects.acreate(key="external", updated_at=late)
        await client.until(lambda client: client.events)
    assert client.events == [sse.frame(late)]


async def test_reconcile__version_committed_long_after_it_was_raised__found_by_the_full_read(
    streams: hub.Hub, environment: Environment, settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REALTIME_RECONCILE_SECONDS = 0.05  # type: ignore[attr-defined]
    streams.reconcile_now()
    monkeypatch.setattr(reconcile, "OVERLAP", timedelta(seconds=0.1))
    past = timezone.now() - timedelta(hours=2)
    newer = past + timedelta(hours=1)
    environments = Environment.objects.filter(pk=environment.pk)
    await sync_to_async(environments.update)(updated_at=past)
    async with stream("unknown"), stream(environment.api_key) as client:
        await client.until(lambda client: client.events)
        await sync_to_async(environments.update)(updated_at=newer)
        await client.until(lambda client: client.events[-1] == sse.frame(newer))


def test_changed_since__posted_key_that_the_database_has_now__posted_version_is_ignored(
    environment: Environment, project: Project
) -> None:
    project.enable_realtime_updates = False
    project.save()
    ahead = timezone.now() + timedelta(hours=20)
    ExternalEnvironment.objects.create(key=environment.api_key, updated_at=ahead)
    changed = hosts.current().changed_since(timezone.now() - timedelta(minutes=1))
    assert [state for state in changed if state.key == environment.api_key and state.streaming_enabled] == []


def test_publish__gate_closed__not_sent(environment: Environment) -> None:
    with mock.patch.object(eventstream, "send_event") as send:
        publish.publish([EnvironmentState(EnvironmentKey(environment.api_key), timezone.now(), False)])
    send.assert_not_called()
