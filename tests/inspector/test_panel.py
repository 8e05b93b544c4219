"""The inspector of one process, in one event loop, also with clients that read slowly or not at all."""

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from environments.models import Environment
from features.models import FeatureState
from realtime import inspector
from realtime.checks import check_settings
from realtime.delivery import hub
from realtime.hosts import MAX_KEY_LENGTH
from realtime.inspector import models, panel, pending_rows, writer
from realtime.inspector.models import InspectedEvent, InspectedMinute, InspectedProcess
from realtime.inspector.panel import Panel
from realtime.inspector.pending_rows import Observations, OpenStreams, PendingRows
from realtime.inspector.writer import Writer
from realtime.types import EnvironmentKey
from tests.support.asgi import stream
from tests.support.patience import PATIENCE

MILLISECOND = timedelta(milliseconds=1)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
async def streams(settings: Settings, monkeypatch: pytest.MonkeyPatch, closed_runtime: None) -> hub.Hub:
    """The loop's hub, with a journal."""
    # Otherwise the thread might still write during the next test.
    monkeypatch.setattr(writer, "STOP_SECONDS", PATIENCE)
    settings.REALTIME_INSPECTION = True
    settings.REALTIME_REPEAT_SECONDS = 0
    # On a slow machine the reconcile might find a change before its event arrives.
    settings.REALTIME_RECONCILE_SECONDS = 3_600
    return hub.current()


@sync_to_async
def toggle(state: FeatureState) -> datetime:
    state.enabled = not state.enabled
    state.save()
    return Environment.objects.get(pk=state.environment_id).updated_at


@sync_to_async
def output_of(key: str, *options: str) -> str:
    """The output of ``manage.py inspect_environment``."""
    out, errors = StringIO(), StringIO()
    call_command("inspect_environment", key, *options, stdout=out, stderr=errors)
    assert ("REALTIME_INSPECTION is off" in errors.getvalue()) is not inspector.is_recording()
    return out.getvalue()


def has_event(found: Panel) -> bool:
    """Return True if an event is there, and counted in its minute. They are read by separate queries."""
    return bool(found.events) and any(minute.events for minute in found.history)


def has_written(number: int, found: Panel) -> bool:
    """Return True if the events and the minutes both have this number of deliveries."""
    return sum(event.written for event in found.events) == sum(minute.written for minute in found.history) == number


async def panel_when(key: str, holds: Callable[[Panel], object]) -> Panel:
    """The inspector's panel, once the condition is true for it."""
    found = None
    try:
        async with asyncio.timeout(PATIENCE):
            while found is None or not holds(found):
                found = await sync_to_async(panel.panel)(key)
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise TimeoutError(f"last panel: {found}") from None
    return found


async def test_panel__changes_and_a_slow_client__everything_is_counted(
    state: FeatureState, environment: Environment, production: Environment, streams: hub.Hub
) -> None:
    key = environment.api_key
    async with stream(key) as slow, stream(key) as quick, stream(production.api_key) as other:
        for client in (slow, quick, other):
            await client.opened()
        slow.reading.clear()
        versions = []
        # The first is being written, the second waits in the mailbox, and the third replaces it there.
        for count in range(1, 4):
            versions.append(await toggle(state))
            await quick.until(lambda client, count=count: len(client.events) == count + 1)
        slow.reading.set()
        await slow.until(lambda client: len(client.events) == 3)
        found = await panel_when(key, lambda found: found.streams == 2 and has_written(5, found))

    (process,) = found.processes
    assert (process.host, process.pid, process.streams) == (socket.gethostname(), os.getpid(), 2)
    assert timedelta(0) <= timezone.now() - process.seen_at < timedelta(seconds=PATIENCE)
    assert [event.updated_at for event in found.events] == versions[::-1]
    assert [event.version for event in found.events] == [f"{version.timestamp():.6f}" for version in versions[::-1]]
    assert f'"updated_at": {found.events[0].version}}}'.encode() in quick.events[-1]
    assert [(event.written, event.superseded) for event in found.events] == [(2, 0), (1, 1), (2, 0)]
    for event in found.events:
        assert event.committed_at is not None
        assert event.updated_at < event.committed_at < event.at
        assert event.p50_ms is not None
        assert event.p99_ms is not None
        # The latency begins at ``updated_at``, which is before the commit.
        assert (event.committed_at - event.updated_at) / MILLISECOND < event.p50_ms * 1.01
        assert event.p50_ms <= event.p99_ms < PATIENCE * 1_000
        assert [(share.process, share.written) for share in event.processes] == [(process.id, event.written)]
        assert not event.healed
    assert len(found.history) == 60
    assert found.history[-1].streams == 2
    total = [sum(minute.events for minute in found.history), sum(minute.written for minute in found.history)]
    assert total == [3, 5]
    assert sum(minute.superseded for minute in found.history) == 1
    busy = next(minute for minute in found.history if minute.written)
    assert busy.p50_ms is not None
    assert busy.p99_ms is not None
    assert 0 < busy.p50_ms <= busy.p99_ms
    # The minute's latencies are those of its events.
    if sum(minute.written > 0 for minute in found.history) == 1:
        assert min(event.p50_ms for event in found.events if event.p50_ms) <= busy.p50_ms
        assert busy.p99_ms == max(event.p99_ms for event in found.events if event.p99_ms)

    assert (await sync_to_async(panel.panel)(key, 2)).events == found.events[:2]
    # The other environment has no events.
    assert (await panel_when(production.api_key, lambda found: found.streams == 0)).events == ()
    assert (await panel_when(key, lambda found: found.streams == 0)).history[-1].streams == 0


async def test_panel__streams_with_other_keys__are_counted_for_these_keys(
    environment: Environment, streams: hub.Hub
) -> None:
    """A key that no column can store is not recorded, and does not prevent the records of others."""
    unstorable = "k" * (MAX_KEY_LENGTH + 10)
    async with stream("ser.wrong") as wrong, stream(unstorable) as invalid, stream(environment.api_key) as right:
        for client in (wrong, invalid, right):
            await client.opened()
        found = await panel_when(environment.api_key, lambda found: found.streams == 1)
        found = await sync_to_async(panel.panel)(environment.api_key, other_keys=["ser.wrong", "ser.other"])
    assert found.streams_of == {"ser.wrong": 1, "ser.other": 0}
    keys = set(await sync_to_async(list)(InspectedMinute.objects.values_list("environment", flat=True)))
    assert keys == {"ser.wrong", environment.api_key}


async def test_panel__any_environment__three_queries(environment: Environment, streams: hub.Hub) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            panel.panel(environment.api_key)
        return len(queries)

    assert await sync_to_async(count)() == 3


async def test_panel__newer_event_during_a_spread__first_is_superseded_for_pending_streams(
    state: FeatureState, environment: Environment, settings: Settings, streams: hub.Hub
) -> None:
    async with stream(environment.api_key) as one, stream(environment.api_key) as another:
        await one.opened()
        await another.opened()
        # So long that no stream's delivery time is reached.
        settings.REALTIME_SPREAD_SECONDS = 10**9
        await toggle(state)
        await panel_when(environment.api_key, lambda found: len(found.events) == 1)
        await toggle(state)
        found = await panel_when(environment.api_key, lambda found: found.events and found.events[-1].superseded == 2)
        assert [event.written for event in found.events] == [0, 0]
        assert found.events[0].p50_ms is None
        # Without a delivery, ``at`` is the commit.
        assert found.events[0].at == found.events[0].committed_at
        text = await output_of(environment.api_key)
        assert f"{found.events[-1].version}: written to 0, superseded for 2\n" in text


async def test_panel__version_found_by_the_reconcile__healed_and_no_commit(
    environment: Environment, streams: hub.Hub
) -> None:
    key = environment.api_key

    @sync_to_async
    def change_without_event() -> datetime:
        moment = timezone.now()
        Environment.objects.filter(pk=environment.pk).update(updated_at=moment)
        return moment

    async with stream(key) as client:
        await client.opened()
        version = await change_without_event()
        streams.reconcile_now()
        found = await panel_when(key, lambda found: found.events)
        assert " after updated_at, healed\n" in await output_of(key)
    (event,) = found.events
    assert (event.updated_at, event.written, event.healed) == (version, 1, True)
    assert event.committed_at is None
    assert event.p50_ms is not None
    assert event.p50_ms > 0
    assert event.at >= version


async def test_panel__change_without_streams__event_without_deliveries(
    state: FeatureState, environment: Environment, streams: hub.Hub
) -> None:
    version = await toggle(state)
    found = await panel_when(environment.api_key, has_event)
    assert [(event.updated_at, event.written) for event in found.events] == [(version, 0)]
    assert sum(minute.events for minute in found.history) == 1


async def test_panel__very_many_events__newest_have_rows_and_the_minute_counts_all(
    environment: Environment, streams: hub.Hub
) -> None:
    key = EnvironmentKey(environment.api_key)
    began = timezone.now().replace(microsecond=0) - timedelta(seconds=1)
    async with stream(key) as client:
        await client.opened()
        with mock.patch("realtime.inspector.pending_rows.MAX_EVENTS", 5):
            for number in range(1, 1_000):
                moment = began + timedelta(milliseconds=number)
                streams.observer.delivered(key, moment, 1, moment.timestamp() + 0.01)
            found = await panel_when(key, has_event)
    assert [event.updated_at - began for event in found.events] == [
        timedelta(milliseconds=milliseconds) for milliseconds in (999, 899, 799, 699, 599)
    ]
    assert sum(minute.events for minute in found.history) == sum(minute.written for minute in found.history) == 999


def test_writer__database_hangs_for_a_minute__newest_numbers_of_streams_are_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, began, released = Writer.write, threading.Event(), threading.Event()

    def slow(self: Writer, now: datetime) -> None:
        began.set()
        released.wait(PATIENCE)
        write(self, now)

    monkeypatch.setattr(Writer, "write", slow)
    # So that one transaction does not suffice.
    monkeypatch.setattr(pending_rows, "MAX_MINUTES", 1)
    monkeypatch.setattr(writer, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(writer, "STOP_SECONDS", PATIENCE)
    made = Writer(PendingRows())
    made.worker.start()
    began.wait(PATIENCE)
    for key, number in [("quiet", 3), *(("busy", count) for count in range(writer.MAX_WAITING))]:
        observations = Observations()
        observations.streams[EnvironmentKey(key)] = OpenStreams(number)
        made.put(observations)
    released.set()
    deadline = time.monotonic() + PATIENCE
    while len(found := dict(InspectedMinute.objects.values_list("environment", "streams"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    made.worker.stop()

    assert found == {"quiet": 3, "busy": writer.MAX_WAITING - 1}


async def test_writer__database_fails__logged_once_and_written_later(
    state: FeatureState, environment: Environment, streams: hub.Hub, caplog: pytest.LogCaptureFixture
) -> None:
    real = PendingRows.due
    tries: asyncio.Queue[None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def failing(self: PendingRows, process: int) -> Any:
        """Return an invalid minute, so that the transaction fails after the events were inserted."""
        events, _ = real(self, process)
        loop.call_soon_threadsafe(tries.put_nowait, None)
        return events, [InspectedMinute(process=process)]

    with mock.patch.object(streams.observer._writer.worker, "pauses", (0.01, 0.01)):
        async with stream(environment.api_key) as client:
            await client.opened()
            await panel_when(environment.api_key, lambda found: found.streams == 1)
            with mock.patch.object(PendingRows, "due", failing):
                for count in range(2, 5):
                    await toggle(state)
                    await client.until(lambda client, count=count: len(client.events) == count)
                for _ in range(5):
                    await asyncio.wait_for(tries.get(), PATIENCE)
            found = await panel_when(environment.api_key, lambda found: has_written(3, found))
    assert len(found.events) == 3
    messages = [record.getMessage() for record in caplog.records]
    assert sum("inspection_not_written" in line for line in messages) == 1
    assert sum("inspection_written_again" in line for line in messages) == 1


@sync_to_async
def age(**rows: timedelta) -> None:
    """Move the rows' times back."""
    InspectedProcess.objects.update(seen_at=F("seen_at") - rows["processes"])
    InspectedMinute.objects.update(minute=F("minute") - rows["minutes"])
    InspectedEvent.objects.update(noted_at=F("noted_at") - rows["events"])


async def test_writer__old_rows__deleted_and_a_resumed_process_writes_its_rows_again(
    environment: Environment, streams: hub.Hub
) -> None:
    key = EnvironmentKey(environment.api_key)
    now = timezone.now()
    pending = PendingRows()
    rows = Writer(pending)
    observations = Observations()
    observations.streams[key] = OpenStreams(7, 2)
    for number in range(3):
        observations.of(key, now + timedelta(microseconds=number)).written = 1
    pending.add(observations, now)
    await sync_to_async(rows.write)(now)
    found = await panel_when(key, lambda found: found.streams == 7)
    assert found.windows == 2
    assert len(found.events) == 3
    # The process was stopped for so long that its rows are old.
    await age(processes=models.RETENTION * 2, minutes=models.RETENTION * 2, events=timedelta(0))
    assert (await sync_to_async(panel.panel)(key)).streams == 0
    later = now + models.MINUTE
    with (
        mock.patch("realtime.inspector.writer.MAX_EVENT_ROWS", 2),
        mock.patch("realtime.inspector.writer.DELETE_BATCH", 1),
    ):
        await sync_to_async(Writer(PendingRows()).write)(later)
    assert await sync_to_async(InspectedMinute.objects.count)() == 0
    found = await sync_to_async(panel.panel)(key)
    assert len(found.events) == 2
    with mock.patch("realtime.inspector.writer.time", mock.Mock(**{"monotonic.return_value": float("inf")})):
        await sync_to_async(rows.write)(later)
    assert (await panel_when(key, lambda found: found.streams)).streams == 7
    await age(processes=timedelta(0), minutes=timedelta(0), events=models.RETENTION * 2)
    await sync_to_async(rows.write)(later + models.MINUTE)
    assert (await sync_to_async(panel.panel)(key)).events == ()
    await sync_to_async(rows.end)(later + models.MINUTE)
    assert (await sync_to_async(panel.panel)(key)).streams == 0


async def test_pending_rows__no_changes_for_long__rows_are_repeated_while_there_are_streams(
    environment: Environment, streams: hub.Hub
) -> None:
    key = EnvironmentKey(environment.api_key)
    now = timezone.now()
    pending = PendingRows()

    def minutes(streams: int, moment: datetime, windows: int = 0) -> list[int]:
        """The numbers of streams in the rows that are due at this time."""
        observations = Observations()
        observations.streams[key] = OpenStreams(streams, windows)
        pending.add(observations, moment)
        pending.begin_minute(moment)
        _, rows = pending.due(1)
        pending.written(rows)
        return [row.streams for row in rows]

    assert minutes(7, now) == [7]
    assert minutes(7, now + models.MINUTE) == []
    assert minutes(7, now + models.REPEAT_AFTER) == [7]
    assert minutes(0, now + models.REPEAT_AFTER) == [0]
    assert minutes(0, now + models.REPEAT_AFTER * 2) == []
    assert minutes(0, now + models.REPEAT_AFTER * 4) == []
    # A window alone is repeated, too.
    assert minutes(0, now + models.REPEAT_AFTER * 4, windows=1) == [0]
    assert minutes(0, now + models.REPEAT_AFTER * 5, windows=1) == [0]


async def test_inspect_environment__text_and_json__same_panel(
    state: FeatureState, environment: Environment, settings: Settings, streams: hub.Hub
) -> None:
    key = environment.api_key
    async with stream(key) as client:
        await client.opened()
        version = await toggle(state)
        found = await panel_when(key, lambda found: has_event(found) and found.events[0].written)
        text = await output_of(key)
        whole = json.loads(await output_of(key, "--json", "--events=1"))
    assert text.startswith("Streams: 1\n        1 in ")
    assert f"{found.events[0].version}: written to 1, " in text
    assert " (p99) after updated_at\n" in text
    assert "\nWindows of the dashboard: 0\n" in text
    assert "streams 1, events 1, written 1, " in text
    assert whole["streams"] == 1
    assert whole["events"][0]["updated_at"] == version.isoformat()
    assert whole["events"][0]["version"] == found.events[0].version
    settings.REALTIME_INSPECTION = False
    assert (await output_of(key, "--events=0")).count("written to") == 0
    with pytest.raises(CommandError):
        await output_of(key, "--events=-1")


@pytest.mark.parametrize(
    ("value", "host", "enabled"),
    [("", "embedded", True), ("", "flagsmith", False), ("off", "embedded", False), (True, "detached", True)],
)
def test_inspection_setting__value_and_host__enabled_or_not(
    value: object, host: str, enabled: bool, settings: Settings
) -> None:
    settings.REALTIME_INSPECTION, settings.REALTIME_HOST = value, host
    assert inspector.is_recording() is enabled


def test_inspection_setting__invalid__system_check_fails(settings: Settings) -> None:
    settings.REALTIME_INSPECTION = "sometimes"
    assert [message.msg for message in check_settings()] == [
        "REALTIME_INSPECTION must be true or false, not 'sometimes'."
    ]
