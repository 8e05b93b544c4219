"""What is counted of streams inside of one event loop: what a socket test could not bring about at will."""

import gc
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import FeatureState
from realtime import bus
from realtime.bus import Health, eventstream
from realtime.delivery import hub
from realtime.monitoring import metrics, watchdog
from realtime.serving.lifespan import lifespan
from realtime.types import EPOCH, EnvironmentKey, EnvironmentState, Message
from tests.metrics.scraped import TOKEN, Scrape
from tests.support.asgi import eventually, stream

pytestmark = pytest.mark.django_db(transaction=True)

Rise = Callable[..., float]


@pytest.fixture
async def streams(settings: Settings) -> AsyncIterator[hub.Hub]:
    """The loop's hub, closed again at the end."""
    # What a slow machine has not read in that time a stream calls unreadable, and begins without it.
    settings.REALTIME_RECONCILE_SECONDS = 3_600
    yield hub.current()
    await hub.current().close()


@pytest.fixture
def rise() -> Rise:
    """How much a sample has risen since the test began."""
    before = now()
    return lambda *name: now()[name] - before[name]


def now() -> Scrape:
    return Scrape(metrics.scrape("")[0].decode())


@sync_to_async
def toggle(state: FeatureState) -> None:
    state.enabled = not state.enabled
    state.save()


async def test_delivered__client_that_reads_nothing__counts_what_is_written_and_what_is_superseded(
    streams: hub.Hub, state: FeatureState, environment: Environment, settings: Settings, rise: Rise
) -> None:
    settings.REALTIME_REPEAT_SECONDS = 0
    async with stream(environment.api_key) as slow, stream(environment.api_key) as quick:
        await slow.opened()
        await quick.opened()
        # What they began with is none.
        assert rise("realtime_events_delivered_total") == 0
        slow.reading.clear()
        # One is stuck in its write, two wait in its mailbox, one after the other.
        for count in range(1, 4):
            await toggle(state)
            await quick.until(lambda client, count=count: len(client.events) == count + 1)
        assert rise("realtime_events_delivered_total") == 4
        assert rise("realtime_events_superseded_total") == 1
        slow.reading.set()
        await slow.until(lambda client: len(client.events) == 3)
        assert rise("realtime_events_delivered_total") == rise("realtime_propagation_seconds_count") == 5
        assert rise("realtime_events_superseded_total") == 1
        assert now()["realtime_streams_open"] >= 2
        assert rise("realtime_streams_opened_total") == 2


async def test_delivered__state_that_a_slow_client_begins_with__not_counted(
    streams: hub.Hub, environment: Environment, rise: Rise
) -> None:
    async with stream(environment.api_key) as client, stream(environment.api_key) as quick:
        # Before it has its first byte: the state waits in its mailbox.
        client.reading.clear()
        await quick.opened()
        await eventually(
            lambda: all(each._served for each in streams.topics[EnvironmentKey(environment.api_key)].subscribers)
        )
        client.reading.set()
        await client.until(lambda client: len(client.events) == 1)
    assert rise("realtime_events_delivered_total") == rise("realtime_events_superseded_total") == 0


async def test_repeated__two_close_changes__the_second_saying_counts_apart(
    streams: hub.Hub, environment: Environment, settings: Settings, rise: Rise
) -> None:
    settings.REALTIME_REPEAT_SECONDS = 1
    key = EnvironmentKey(environment.api_key)
    async with stream(key) as client:
        await client.opened()
        # Not by the database, where a busy machine may take a second for each.
        for count in (2, 3):
            streams.topics[key].offer(EnvironmentState(key, timezone.now(), True))
            await client.until(lambda client, count=count: len(client.events) == count)
        await client.until(lambda client: len(client.events) == 4)
    assert rise("realtime_events_repeated_total") == 1
    assert rise("realtime_events_delivered_total") == rise("realtime_propagation_seconds_count") == 2


async def test_spread__events__counted_when_their_moment_comes(
    streams: hub.Hub, state: FeatureState, environment: Environment, settings: Settings, rise: Rise
) -> None:
    settings.REALTIME_SPREAD_SECONDS = 0.3
    async with stream(environment.api_key) as client:
        await client.opened()
        await toggle(state)
        await client.until(lambda client: len(client.events) == 2)
        await eventually(lambda: rise("realtime_events_delivered_total") == 1)


async def test_stalled__client_given_up__counted(
    streams: hub.Hub, environment: Environment, settings: Settings, rise: Rise
) -> None:
    settings.REALTIME_STREAM_SECONDS = 0.3
    async with stream(environment.api_key) as client:
        # From the beginning: on a busy machine its age is over before it has read anything.
        client.reading.clear()
        await eventually(lambda: rise("realtime_streams_stalled_total") == 1)


async def test_healed__bus_that_loses_everything__counted(
    streams: hub.Hub, state: FeatureState, environment: Environment, monkeypatch: pytest.MonkeyPatch, rise: Rise
) -> None:
    monkeypatch.setattr("realtime.bus.eventstream.deliver", lambda state: None)
    async with stream(environment.api_key) as client:
        await client.opened()
        await toggle(state)
        streams.look()
        await client.until(lambda client: len(client.events) == 2)
    assert rise("realtime_events_healed_total") == 1
    # It is done a moment after what it found is on its way.
    await eventually(lambda: rise("realtime_reconciles_total", "done") >= 1)


async def test_flagsmith_events__version_that_no_bus_brings__counted_as_followed(
    streams: hub.Hub, environment: Environment, settings: Settings, rise: Rise
) -> None:
    settings.REALTIME_HOST = "flagsmith"
    async with stream(environment.api_key) as client:
        await client.opened()
        moved = Environment.objects.filter(pk=environment.pk)
        await sync_to_async(moved.update)(updated_at=timezone.now())
        streams.look()
        await client.until(lambda client: len(client.events) == 2)
        eventstream.deliver(EnvironmentState(EnvironmentKey(environment.api_key), timezone.now(), True))
        await client.until(lambda client: len(client.events) == 3)
    assert rise("realtime_events_healed_total") == 0
    assert rise("realtime_flagsmith_events_total", "following") == 1
    assert rise("realtime_flagsmith_events_total", "signals") == 1


async def test_propagation__clock_that_is_ahead__counts_as_nothing(
    streams: hub.Hub, environment: Environment, rise: Rise
) -> None:
    async with stream(environment.api_key) as client:
        await client.opened()
        key = EnvironmentKey(environment.api_key)
        ahead = timezone.now() + timedelta(hours=1)
        streams.topics[key].offer(EnvironmentState(key, ahead, True))
        await client.until(lambda client: len(client.events) == 2)
    assert rise("realtime_propagation_seconds_bucket", "0.001") == 1
    assert rise("realtime_propagation_seconds_sum") == 0


def test_propagation__more_than_its_number_holds__begins_anew(rise: Rise) -> None:
    """An external publisher's versions may be of any time, and an event that cannot be counted must go out."""
    for _ in range(3):
        metrics.told(EPOCH + timedelta(seconds=1), 3_000)
    assert rise("realtime_propagation_seconds_bucket", "+Inf") == 9_000
    assert rise("realtime_events_delivered_total") == 9_000


async def test_bus__lost_and_had_again__told(streams: hub.Hub, monkeypatch: pytest.MonkeyPatch, rise: Rise) -> None:
    class Lost:
        told = Health("redis", False, reconnects=1, beat=1.0)

        def health(self) -> Health:
            return self.told

    monkeypatch.setattr(bus, "current", Lost)
    await eventually(lambda: rise("realtime_bus_reconnects_total") == 1)
    assert now()["realtime_bus_connected", "redis"] == 0
    # It has been started anew.
    Lost.told = Health("redis", True, reconnects=0, beat=2.0)
    await eventually(lambda: now()["realtime_bus_connected", "redis"] == 1)
    assert rise("realtime_bus_reconnects_total") == 1


def test_limit__of_a_kind_that_is_unknown__counts_as_another(rise: Rise) -> None:
    metrics.limit_hit("address")
    metrics.limit_hit("new")

    assert rise("realtime_limits_hit_total", "address") == rise("realtime_limits_hit_total", "other") == 1


def test_metrics__no_token_configured__404_for_everybody(anonymous: APIClient, settings: Settings) -> None:
    for authorization in ("", "Bearer", "Bearer ", f"Bearer {TOKEN}"):
        assert anonymous.get("/metrics", HTTP_AUTHORIZATION=authorization).status_code == 404
    settings.REALTIME_METRICS_TOKEN = TOKEN
    assert anonymous.get("/metrics", HTTP_AUTHORIZATION=f"Bearer {TOKEN}").status_code == 200
    assert anonymous.post("/metrics", HTTP_AUTHORIZATION=f"Bearer {TOKEN}").status_code == 405


async def test_watchdog__start_that_takes_seconds__no_alarm(rise: Rise, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's views are imported then, when nobody is served yet."""
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.5)
    monkeypatch.setattr(gc, "collect", lambda: time.sleep(2))
    monkeypatch.setattr(gc, "freeze", lambda: None)
    told: list[str] = []

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        told.append(message["type"])

    await lifespan()({"type": "lifespan"}, receive, send)
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert rise("realtime_event_loop_blocked_total") == 0


async def test_rejected__streams_over_a_limit__counted_until_they_end(
    streams: hub.Hub, environment: Environment, settings: Settings
) -> None:
    settings.REALTIME_MAX_STREAMS_PER_ENVIRONMENT = 1
    async with stream(environment.api_key) as admitted:
        await admitted.opened()
        async with stream(environment.api_key) as rejected, stream(environment.api_key) as another:
            await rejected.opened()
            await another.opened()
            assert now()["realtime_streams_held"] == 2
        await eventually(lambda: now()["realtime_streams_held"] == 0)
        assert streams.open == 1
