"""Spread events: each stream gets an event at a random time of a window, so that refetches do not arrive at once."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError
from pytest_django import Settings

from environments.models import Environment
from features.models import FeatureState
from projects.models import Project
from realtime.delivery import hub, spread
from realtime.delivery.spread import ASSUMED_RATE, RefetchRate
from realtime.hosts import EmbeddedHost
from realtime.types import EnvironmentState
from tests.realtime.clock import skip
from tests.realtime.test_stream import gate, toggle
from tests.support.asgi import Client, eventually, stream
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = 3_600.0


@pytest.fixture
async def clients(streams: hub.Hub, environment: Environment) -> AsyncIterator[list[Client]]:
    """Thirty open streams of one environment."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(stream(environment.api_key)) for _ in range(30)]
        for client in clients:
            await client.opened()
        yield clients


def number_that_got(clients: list[Client], frame: bytes) -> int:
    return sum(client.events[-1] == frame for client in clients)


async def test_spread__one_event__all_streams_get_it_within_the_window(
    clients: list[Client], state: FeatureState, settings: Settings
) -> None:
    settings.REALTIME_SPREAD_SECONDS = HOUR
    frame = await toggle(state)
    assert number_that_got(clients, frame) < len(clients)
    skip(HOUR / 2)
    # The probability that all thirty, or none, fall into the first half is 0.5 ** 29.
    await eventually(lambda: number_that_got(clients, frame) > 0)
    assert number_that_got(clients, frame) < len(clients)
    skip(HOUR / 2)
    await eventually(lambda: number_that_got(clients, frame) == len(clients))


async def test_spread__second_event_within_the_window__pending_streams_get_only_the_second(
    clients: list[Client], state: FeatureState, settings: Settings
) -> None:
    settings.REALTIME_SPREAD_SECONDS = HOUR
    first = await toggle(state)
    second = await toggle(state)
    skip(HOUR)
    await eventually(lambda: number_that_got(clients, second) == len(clients))
    assert sum(client.events.count(first) for client in clients) < len(clients)
    assert all(client.events.count(second) <= 2 for client in clients)


async def test_spread__repetition_within_the_window__not_sent_to_pending_streams(
    clients: list[Client], state: FeatureState, settings: Settings, streams: hub.Hub
) -> None:
    settings.REALTIME_SPREAD_SECONDS = HOUR
    settings.REALTIME_REPEAT_SECONDS = 600
    real, repeated = hub.Topic._repeat_event, asyncio.Event()

    async def repeat_event(topic: hub.Topic, accepted_at: float) -> None:
        await real(topic, accepted_at)
        repeated.set()

    await toggle(state)
    with mock.patch.object(hub.Topic, "_repeat_event", repeat_event):
        last = await toggle(state)
        skip(600)
        await asyncio.wait_for(repeated.wait(), PATIENCE)
    assert number_that_got(clients, last) < len(clients)


async def test_spread__stream_opened_within_the_window__gets_the_event_once(
    clients: list[Client], environment: Environment, state: FeatureState, settings: Settings, streams: hub.Hub
) -> None:
    settings.REALTIME_SPREAD_SECONDS = 0.5
    real = EmbeddedHost.states
    reading, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow(host: EmbeddedHost, keys: Any) -> Any:
        found = real(host, keys)
        loop.call_soon_threadsafe(reading.set)
        go_on.wait(PATIENCE)
        return found

    with mock.patch.object(EmbeddedHost, "states", slow):
        async with stream(environment.api_key) as new_client:
            await asyncio.wait_for(reading.wait(), PATIENCE)
            topic = next(iter(streams.topics.values()))
            moment = await sync_to_async(lambda: Environment.objects.get(pk=environment.pk).updated_at)()
            topic.accept(EnvironmentState(topic.key, moment + timedelta(seconds=1), True))
            go_on.set()
            await eventually(lambda: topic.spreading.done())
            assert len(new_client.events) == 1


async def test_spread__gate_closed_within_the_window__pending_streams_do_not_get_it(
    clients: list[Client], project: Project, state: FeatureState, settings: Settings, streams: hub.Hub
) -> None:
    settings.REALTIME_SPREAD_SECONDS = HOUR
    frame = await toggle(state)
    await gate(project, False)
    before = number_that_got(clients, frame)
    topic = next(iter(streams.topics.values()))
    await eventually(lambda: topic.spreading.done())
    # One slice may have been in progress when the gate was closed.
    assert number_that_got(clients, frame) <= before + 3
    settings.REALTIME_SPREAD_SECONDS = 0
    await gate(project, True)
    await eventually(lambda: all(client.events[-1] > frame for client in clients))


async def test_spread__environment_deleted_within_the_window__pending_streams_do_not_get_it(
    clients: list[Client], environment: Environment, state: FeatureState, settings: Settings, streams: hub.Hub
) -> None:
    settings.REALTIME_SPREAD_SECONDS = HOUR
    frame = await toggle(state)
    await environment.adelete()
    before = number_that_got(clients, frame)
    topic = next(iter(streams.topics.values()))
    await eventually(lambda: topic.spreading.done())
    assert number_that_got(clients, frame) <= before + 3


async def test_spread__database_fails_within_the_window__continues_afterwards(
    clients: list[Client], state: FeatureState, settings: Settings
) -> None:
    settings.REALTIME_SPREAD_SECONDS = 0.3
    settings.REALTIME_RECONCILE_SECONDS = 0.05
    failed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def failing(host: EmbeddedHost, keys: object) -> object:
        loop.call_soon_threadsafe(failed.set)
        raise DatabaseError("gone")

    with mock.patch.object(EmbeddedHost, "states", failing):
        frame = await toggle(state)
        await asyncio.wait_for(failed.wait(), PATIENCE)
    await eventually(lambda: number_that_got(clients, frame) == len(clients))


def test_window__spread_off__zero(settings: Settings) -> None:
    assert spread.window(1_000_000) == 0


def test_window__automatic__depends_on_streams_and_refetch_rate(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REALTIME_SPREAD_AUTOMATICALLY = True
    seconds = 0.0
    monkeypatch.setattr(spread.time, "monotonic", lambda: seconds)
    monkeypatch.setattr(spread, "refetch_rate", RefetchRate())
    assert spread.window(100) == 0
    assert spread.window(10_000) == 10_000 / ASSUMED_RATE
    assert spread.window(10_000_000) == spread.MAX_SECONDS
    for _ in range(5_000):
        spread.refetch_rate.add()
    seconds = 1.0
    spread.refetch_rate.add()
    assert spread.window(10_000) == pytest.approx(2.0, rel=0.01)
    seconds += spread.HALF_LIFE_SECONDS
    assert spread.window(10_000) == pytest.approx(4.0, rel=0.01)
