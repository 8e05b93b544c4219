"""Metrics of streams and events, in one event loop, for conditions that a test on sockets cannot control."""

import gc
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import FeatureState
from realtime import bus
from realtime.asgi import nothing
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
async def streams(settings: Settings, closed_runtime: None) -> hub.Hub:
    """The loop's hub, closed again at the end."""
    # On a slow machine a read may take longer than the default of one second, and the stream would begin without it.
    settings.REALTIME_RECONCILE_SECONDS = 3_600
    return hub.current()


@pytest.fixture
def rise() -> Rise:
    """Returns the increase of a sample since the beginning of the test."""
    before = now()
    return lambda *name: now()[name] - before[name]


def now() -> Scrape:
    return Scrape(metrics.scrape("")[0].decode())


@sync_to_async
def toggle(state: FeatureState) -> None:
    state.enabled = not state.enabled
    state.save()


async def test_delivered__client_that_does_not_read__written_and_superseded_events_are_counted(
    streams: hub.Hub, state: FeatureState, environment: Environment, settings: Settings, rise: Rise
) -> None:
    settings.REALTIME_REPEAT_SECONDS = 0
    async with stream(environment.api_key) as slow, stream(environment.api_key) as quick:
        await slow.opened()
        await quick.opened()
        # Initial events are not counted.
        assert rise("realtime_events_delivered_total") == 0
        slow.reading.clear()
        # The first is being written, the second waits in the mailbox, and the third replaces it there.
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


async def test_delivered__initial_event_of_a_slow_client__not_counted(
    streams: hub.Hub, environment: Environment, rise: Rise
) -> None:
    async with stream(environment.api_key) as client, stream(environment.api_key) as quick:
        # The initial event waits in the mailbox.
        client.reading.clear()
        await quick.opened()
        await eventually(
            lambda: all(each._initialized for each in streams.topics[EnvironmentKey(environment.api_key)].subscribers)
        )
        client.reading.set()
        await client.until(lambda client: len(client.events) == 1)
    assert rise("realtime_events_delivered_total") == rise("realtime_events_superseded_total") == 0


async def test_repeated__two_close_changes__repetition_is_counted_separately(
    streams: hub.Hub, environment: Environment, settings: Settings, rise: Rise
) -> None:
    settings.REALTIME_REPEAT_SECONDS = 1
    key = EnvironmentKey(environment.api_key)
    async with stream(key) as client:
        await client.opened()
        # Not through the database, where each change may take a second on a busy machine.
        for count in (2, 3):
            streams.topics[key].accept(EnvironmentState(key, timezone.now(), True))
            await client.until(lambda client, count=count: len(client.events) == count)
        await client.until(lambda client: len(client.events) == 4)
    assert rise("realtime_events_repeated_total") == 1
    assert rise("realtime_events_delivered_total") == rise("realtime_propagation_seconds_count") == 2


async def test_spread__event__counted_at_its_delivery(
    streams: hub.Hub, state: FeatureState, environment: Environment, settings: Settings, rise: Rise
) -> None:
    settings.REALTIME_SPREAD_SECONDS = 0.3
    async with stream(environment.api_key) as client:
        await client.opened()
        await toggle(state)
        await client.until(lambda client: len(client.events) == 2)
        await eventually(lambda: rise("realtime_events_delivered_total") == 1)


async def test_stalled__client_that_does_not_read_its_end__counted(
    streams: hub.Hub, environment: Environment, settings: Settings, rise: Rise
) -> None:
    settings.REALTIME_STREAM_SECONDS = 0.3
    async with stream(environment.api_key) as client:
        # Before the first read, because the stream's age may be over at once on a busy machine.
        client.reading.clear()
        await eventually(lambda: rise("realtime_streams_stalled_total") == 1)


async def test_healed__event_lost__counted(
    streams: hub.Hub, state: FeatureState, environment: Environment, monkeypatch: pytest.MonkeyPatch, rise: Rise
) -> None:
    monkeypatch.setattr("realtime.bus.eventstream.publish_here", lambda state: None)
    async with stream(environment.api_key) as client:
        await client.opened()
        await toggle(state)
        streams.reconcile_now()
        await client.until(lambda client: len(client.events) == 2)
    assert rise("realtime_events_healed_total") == 1
    # The reconcile is counted shortly after its event is delivered.
    await eventually(lambda: rise("realtime_reconciles_total", "done") >= 1)


async def test_flagsmith_events__version_without_an_event__counted_as_followed(
    streams: hub.Hub, environment: Environment, settings: Settings, rise: Rise
) -> None:
    settings.REALTIME_HOST = "flagsmith"
    async with stream(environment.api_key) as client:
        await client.opened()
        rows = Environment.objects.filter(pk=environment.pk)
        await sync_to_async(rows.update)(updated_at=timezone.now())
        streams.reconcile_now()
        await client.until(lambda client: len(client.events) == 2)
        # The end of the reconcile might find the next version.
        await eventually(lambda: rise("realtime_reconciles_total", "done") == 1)
        later = timezone.now()
        await sync_to_async(rows.update)(updated_at=later)
        eventstream.publish_here(EnvironmentState(EnvironmentKey(environment.api_key), later, True))
        await client.until(lambda client: len(client.events) == 3)
    assert rise("realtime_events_healed_total") == 0
    assert rise("realtime_flagsmith_events_total", "following") == 1
    assert rise("realtime_flagsmith_events_total", "signals") == 1


async def test_propagation__version_in_the_future__counted_as_zero(
    streams: hub.Hub, environment: Environment, rise: Rise
) -> None:
    async with stream(environment.api_key) as client:
        await client.opened()
        key = EnvironmentKey(environment.api_key)
        ahead = timezone.now() + timedelta(hours=1)
        streams.topics[key].accept(EnvironmentState(key, ahead, True))
        await client.until(lambda client: len(client.events) == 2)
    assert rise("realtime_propagation_seconds_bucket", "0.001") == 1
    assert rise("realtime_propagation_seconds_sum") == 0


def test_propagation__sum_overflows__starts_again_at_zero(rise: Rise) -> None:
    """External publishers may post any time, and an overflow must not prevent the delivery."""
    for _ in range(3):
        metrics.count_delivered(EPOCH + timedelta(seconds=1), 3_000)
    assert rise("realtime_propagation_seconds_bucket", "+Inf") == 9_000
    assert rise("realtime_events_delivered_total") == 9_000


async def test_bus__disconnected_and_reconnected__gauge_and_counter_change(
    streams: hub.Hub, monkeypatch: pytest.MonkeyPatch, rise: Rise
) -> None:
    class Lost:
        state = Health("redis", False, reconnects=1, beat=1.0)

        def health(self) -> Health:
            return self.state

    monkeypatch.setattr(bus, "current", Lost)
    await eventually(lambda: rise("realtime_bus_reconnects_total") == 1)
    assert now()["realtime_bus_connected", "redis"] == 0
    # A restarted bus counts from 0.
    Lost.state = Health("redis", True, reconnects=0, beat=2.0)
    await eventually(lambda: now()["realtime_bus_connected", "redis"] == 1)
    assert rise("realtime_bus_reconnects_total") == 1


def test_limit__unknown_kind__counted_as_other(rise: Rise) -> None:
    metrics.limits_hit["address"].add()
    metrics.limits_hit["new"].add()

    assert rise("realtime_limits_hit_total", "address") == rise("realtime_limits_hit_total", "other") == 1


def test_metrics__no_token_configured__404(anonymous: APIClient, settings: Settings) -> None:
    for authorization in ("", "Bearer", "Bearer ", f"Bearer {TOKEN}"):
        assert anonymous.get("/metrics", HTTP_AUTHORIZATION=authorization).status_code == 404
    settings.REALTIME_METRICS_TOKEN = TOKEN
    assert anonymous.get("/metrics", HTTP_AUTHORIZATION=f"Bearer {TOKEN}").status_code == 200
    assert anonymous.post("/metrics", HTTP_AUTHORIZATION=f"Bearer {TOKEN}").status_code == 405


async def test_watchdog__slow_start__loop_is_not_reported_as_blocked(
    rise: Rise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Views are imported at the start, which may take seconds."""
    monkeypatch.setattr(watchdog, "CHECK_SECONDS", 0.5)
    monkeypatch.setattr(gc, "collect", lambda: time.sleep(2))
    monkeypatch.setattr(gc, "freeze", lambda: None)
    sent: list[str] = []

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        sent.append(message["type"])

    await lifespan(nothing)({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
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
        assert streams.open_count == 1
