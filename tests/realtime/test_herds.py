"""Telling very many of one event without making them refetch as one."""

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
from realtime.delivery import herds, hub
from realtime.delivery.herds import ASSUMED_RATE, Refetches
from realtime.hosts import EmbeddedHost
from realtime.types import EnvironmentState
from tests.realtime.clock import skip
from tests.realtime.test_stream import gate, toggle
from tests.support.asgi import Client, eventually, stream
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = 3_600.0


@pytest.fixture
async def crowd(streams: hub.Hub, environment: Environment) -> AsyncIterator[list[Client]]:
    """Thirty open streams of one environment."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(stream(environment.api_key)) for _ in range(30)]
        for client in clients:
            await client.opened()
        yield clients


def told(crowd: list[Client], frame: bytes) -> int:
    return sum(client.events[-1] == frame for client in crowd)


async def test_spread__one_event__everybody_gets_it_and_not_at_once(
    crowd: list[Client], state: FeatureState, settings: Settings
) -> None:
    settings.REALTIME_SPREAD_SECONDS = HOUR
    frame = await toggle(state)
    assert told(crowd, frame) < len(crowd)
    skip(HOUR / 2)
    # That all thirty or none fall into the first half has a chance of 0.5 ** 29.
    await eventually(lambda: told(crowd, frame) > 0)
    assert told(crowd, frame) < len(crowd)
    skip(HOUR / 2)
    await eventually(lambda: told(crowd, frame) == len(crowd))


async def test_spread__another_event_meanwhile__the_newest_alone_for_those_who_wait(
    crowd: list[Client], state: FeatureState, settings: Settings
) -> None:
    settings.REALTIME_SPREAD_SECONDS = HOUR
    first = await toggle(state)
    second = await toggle(state)
    skip(HOUR)
    await eventually(lambda: told(crowd, second) == len(crowd))
    assert sum(client.events.count(first) for client in crowd) < len(crowd)
    assert all(client.events.count(second) <= 2 for client in crowd)


async def test_spread__two_events_close_together__saying_it_again_leaves_those_who_wait_alone(
    crowd: list[Client], state: FeatureState, settings: Settings, streams: hub.Hub
) -> None:
    settings.REALTIME_SPREAD_SECONDS = HOUR
    settings.REALTIME_REPEAT_SECONDS = 600
    real, said_again = hub.Topic._say_again, asyncio.Event()

    async def say_again(topic: hub.Topic, accepted_at: float) -> None:
        await real(topic, accepted_at)
        said_again.set()

    await toggle(state)
    with mock.patch.object(hub.Topic, "_say_again", say_again):
        last = await toggle(state)
        skip(600)
        await asyncio.wait_for(said_again.wait(), PATIENCE)
    assert told(crowd, last) < len(crowd)


async def test_spread__newcomer_meanwhile__hears_it_once(
    crowd: list[Client], environment: Environment, state: FeatureState, settings: Settings, streams: hub.Hub
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
        async with stream(environment.api_key) as newcomer:
            await asyncio.wait_for(reading.wait(), PATIENCE)
            topic = next(iter(streams.topics.values()))
            moment = await sync_to_async(lambda: Environment.objects.get(pk=environment.pk).updated_at)()
            topic.offer(EnvironmentState(topic.key, moment + timedelta(seconds=1), True))
            go_on.set()
            await eventually(lambda: topic.spreading.done())
            assert len(newcomer.events) == 1


async def test_spread__gate_closed_meanwhile__nobody_else_is_told(
    crowd: list[Client], project: Project, state: FeatureState, settings: Settings, streams: hub.Hub
) -> None:
    settings.REALTIME_SPREAD_SECONDS = HOUR
    frame = await toggle(state)
    await gate(project, False)
    before = told(crowd, frame)
    topic = next(iter(streams.topics.values()))
    await eventually(lambda: topic.spreading.done())
    # A slice that was under way when the gate closed may have been one more.
    assert told(crowd, frame) <= before + 3
    settings.REALTIME_SPREAD_SECONDS = 0
    await gate(project, True)
    await eventually(lambda: all(client.events[-1] > frame for client in crowd))


async def test_spread__environment_deleted_meanwhile__nobody_else_is_notified(
    crowd: list[Client], environment: Environment, state: FeatureState, settings: Settings, streams: hub.Hub
) -> None:
    settings.REALTIME_SPREAD_SECONDS = HOUR
    frame = await toggle(state)
    await environment.adelete()
    before = told(crowd, frame)
    topic = next(iter(streams.topics.values()))
    await eventually(lambda: topic.spreading.done())
    assert told(crowd, frame) <= before + 3


async def test_spread__database_away_meanwhile__goes_on_afterwards(
    crowd: list[Client], state: FeatureState, settings: Settings
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
    await eventually(lambda: told(crowd, frame) == len(crowd))


def test_window__off__none(settings: Settings) -> None:
    assert herds.window(1_000_000) == 0


def test_window__automatic__as_long_as_this_process_needs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REALTIME_SPREAD_AUTOMATICALLY = True
    seconds = 0.0
    monkeypatch.setattr(herds.time, "monotonic", lambda: seconds)
    monkeypatch.setattr(herds, "refetches", Refetches())
    assert herds.window(100) == 0
    assert herds.window(10_000) == 10_000 / ASSUMED_RATE
    assert herds.window(10_000_000) == herds.MOST_SECONDS
    for _ in range(5_000):
        herds.refetches.answered()
    seconds = 1.0
    herds.refetches.answered()
    assert herds.window(10_000) == pytest.approx(2.0, rel=0.01)
    seconds += herds.HALF_LIFE_SECONDS
    assert herds.window(10_000) == pytest.approx(4.0, rel=0.01)
