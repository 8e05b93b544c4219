"""What the inspector tells of the streams of one process, in one event loop: clients that read slowly or not at all."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
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
from realtime.checks import check_settings
from realtime.conf import conf
from realtime.delivery import hub
from realtime.inspector import models, panel, writer
from realtime.inspector.ledger import Ledger, Notes
from realtime.inspector.models import InspectedEvent, InspectedMinute, InspectedProcess
from realtime.inspector.panel import Panel
from realtime.inspector.records import Records
from realtime.types import EnvironmentKey
from tests.support.asgi import stream
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
async def streams(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[hub.Hub]:
    """The loop's hub, which keeps a journal."""
    # Or it would write on, into the next test's database.
    monkeypatch.setattr(writer, "END_SECONDS", PATIENCE)
    settings.REALTIME_INSPECTION = True
    settings.REALTIME_REPEAT_SECONDS = 0
    # On a slow machine it would be there before the bus.
    settings.REALTIME_RECONCILE_SECONDS = 3_600
    yield hub.current()
    await hub.current().close()


@sync_to_async
def toggle(state: FeatureState) -> datetime:
    state.enabled = not state.enabled
    state.save()
    return Environment.objects.get(pk=state.environment_id).updated_at


@sync_to_async
def said(key: str, *options: str) -> str:
    """What ``manage.py inspect_environment`` says."""
    out, errors = StringIO(), StringIO()
    call_command("inspect_environment", key, *options, stdout=out, stderr=errors)
    assert ("REALTIME_INSPECTION is off" in errors.getvalue()) is not conf.INSPECTS
    return out.getvalue()


def settled(told: Panel) -> bool:
    """Whether an event is there, and its minute with it: they are read one after the other."""
    return bool(told.events) and any(minute.events for minute in told.history)


def has_written(number: int, told: Panel) -> bool:
    """Whether so many streams have been written to, by the events and by their minutes."""
    return sum(event.written for event in told.events) == sum(minute.written for minute in told.history) == number


async def shown(key: str, holds: Callable[[Panel], object]) -> Panel:
    """What the inspector shows, once this holds of it."""
    told = None
    try:
        async with asyncio.timeout(PATIENCE):
            while told is None or not holds(told):
                told = await sync_to_async(panel.panel)(key)
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise TimeoutError(f"shown last: {told}") from None
    return told


async def test_panel__changes_and_a_client_that_reads_nothing__all_of_it_is_counted(
    state: FeatureState, environment: Environment, production: Environment, streams: hub.Hub
) -> None:
    key = environment.api_key
    async with stream(key) as slow, stream(key) as quick, stream(production.api_key) as other:
        for client in (slow, quick, other):
            await client.opened()
        slow.reading.clear()
        versions = []
        # One is stuck in its write, two wait in its mailbox, one after the other.
        for count in range(1, 4):
            versions.append(await toggle(state))
            await quick.until(lambda client, count=count: len(client.events) == count + 1)
        slow.reading.set()
        await slow.until(lambda client: len(client.events) == 3)
        told = await shown(key, lambda told: told.streams == 2 and has_written(5, told))

    (process,) = told.processes
    assert (process.host, process.pid, process.streams) == (socket.gethostname(), os.getpid(), 2)
    assert timedelta(0) <= timezone.now() - process.seen_at < timedelta(seconds=PATIENCE)
    assert [event.updated_at for event in told.events] == versions[::-1]
    assert [event.version for event in told.events] == [f"{version.timestamp():.6f}" for version in versions[::-1]]
    assert f'"updated_at": {told.events[0].version}}}'.encode() in quick.events[-1]
    assert [(event.written, event.superseded) for event in told.events] == [(2, 0), (1, 1), (2, 0)]
    for event in told.events:
        assert event.measured_from == "commit"
        assert event.committed_at is not None
        assert event.updated_at < event.committed_at < event.at
        assert event.p50_ms is not None
        assert event.p99_ms is not None
        assert 0 <= event.p50_ms <= event.p99_ms < PATIENCE * 1_000
        assert [(share.process, share.written) for share in event.processes] == [(process.id, event.written)]
        assert not event.healed
    assert len(told.history) == 60
    assert told.history[-1].streams == 2
    total = [sum(minute.events for minute in told.history), sum(minute.written for minute in told.history)]
    assert total == [3, 5]
    assert sum(minute.superseded for minute in told.history) == 1
    busy = next(minute for minute in told.history if minute.written)
    assert busy.p50_ms is not None
    assert busy.p99_ms is not None
    assert 0 < busy.p50_ms <= busy.p99_ms

    assert (await sync_to_async(panel.panel)(key, 2)).events == told.events[:2]
    # Nobody has read the other environment's events, for there are none.
    assert (await shown(production.api_key, lambda told: told.streams == 0)).events == ()
    assert (await shown(key, lambda told: told.streams == 0)).history[-1].streams == 0


async def test_panel__reading_all__three_queries(environment: Environment, streams: hub.Hub) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            panel.panel(environment.api_key)
        return len(queries)

    assert await sync_to_async(count)() == 3


async def test_panel__event_that_replaces_one_in_its_window__superseded_for_those_who_wait(
    state: FeatureState, environment: Environment, settings: Settings, streams: hub.Hub
) -> None:
    async with stream(environment.api_key) as one, stream(environment.api_key) as another:
        await one.opened()
        await another.opened()
        # So that nobody's moment comes meanwhile.
        settings.REALTIME_SPREAD_SECONDS = 10**9
        await toggle(state)
        await shown(environment.api_key, lambda told: len(told.events) == 1)
        await toggle(state)
        told = await shown(environment.api_key, lambda told: told.events and told.events[-1].superseded == 2)
        assert [event.written for event in told.events] == [0, 0]
        assert told.events[0].p50_ms is None
        # With nobody told, the commit is when it happened.
        assert told.events[0].at == told.events[0].committed_at
        text = await said(environment.api_key)
        assert f"{told.events[-1].version}: written to 0, superseded for 2\n" in text


async def test_panel__event_that_the_reconcile_brings__healed_and_measured_from_its_version(
    environment: Environment, streams: hub.Hub
) -> None:
    key = environment.api_key

    @sync_to_async
    def change_in_secret() -> datetime:
        moment = timezone.now()
        Environment.objects.filter(pk=environment.pk).update(updated_at=moment)
        return moment

    async with stream(key) as client:
        await client.opened()
        version = await change_in_secret()
        streams.look()
        told = await shown(key, lambda told: told.events)
        assert " after updated_at, healed\n" in await said(key)
    (event,) = told.events
    assert (event.updated_at, event.written, event.healed) == (version, 1, True)
    assert (event.committed_at, event.measured_from) == (None, "updated_at")
    assert event.p50_ms is not None
    assert event.p50_ms > 0
    assert event.at >= version


async def test_panel__change_without_streams__an_event_that_nobody_got(
    state: FeatureState, environment: Environment, streams: hub.Hub
) -> None:
    version = await toggle(state)
    told = await shown(environment.api_key, settled)
    assert [(event.updated_at, event.written) for event in told.events] == [(version, 0)]
    assert sum(minute.events for minute in told.history) == 1


async def test_panel__flood__the_newest_have_rows_and_the_minute_counts_all(
    environment: Environment, streams: hub.Hub
) -> None:
    key = EnvironmentKey(environment.api_key)
    began = timezone.now().replace(microsecond=0) - timedelta(seconds=1)
    async with stream(key) as client:
        await client.opened()
        with mock.patch("realtime.inspector.ledger.MOST_EVENTS", 5):
            for number in range(1, 1_000):
                moment = began + timedelta(milliseconds=number)
                streams.observer.delivered(key, moment, 1, moment.timestamp() + 0.01)
            told = await shown(key, settled)
    assert [event.updated_at - began for event in told.events] == [
        timedelta(milliseconds=milliseconds) for milliseconds in (999, 899, 799, 699, 599)
    ]
    assert sum(minute.events for minute in told.history) == sum(minute.written for minute in told.history) == 999


async def test_writer__database_away__says_so_once_and_writes_later(
    state: FeatureState, environment: Environment, streams: hub.Hub, caplog: pytest.LogCaptureFixture
) -> None:
    real = Ledger.due
    tries: asyncio.Queue[None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def impossible(self: Ledger, process: int) -> Any:
        """The events go well, and then the transaction fails."""
        events, _ = real(self, process)
        loop.call_soon_threadsafe(tries.put_nowait, None)
        return events, [InspectedMinute(process=process)]

    with mock.patch.object(writer, "RETRY_SECONDS", 0.01):
        async with stream(environment.api_key) as client:
            await client.opened()
            await shown(environment.api_key, lambda told: told.streams == 1)
            with mock.patch.object(Ledger, "due", impossible):
                for count in range(2, 5):
                    await toggle(state)
                    await client.until(lambda client, count=count: len(client.events) == count)
                for _ in range(5):
                    await asyncio.wait_for(tries.get(), PATIENCE)
            told = await shown(environment.api_key, lambda told: has_written(3, told))
    assert len(told.events) == 3
    said = [record.getMessage() for record in caplog.records]
    assert sum("inspection_not_written" in line for line in said) == 1
    assert sum("inspection_written_again" in line for line in said) == 1


@sync_to_async
def age(**rows: timedelta) -> None:
    """Let rows have been written so much earlier."""
    InspectedProcess.objects.update(seen_at=F("seen_at") - rows["processes"])
    InspectedMinute.objects.update(minute=F("minute") - rows["minutes"])
    InspectedEvent.objects.update(noted_at=F("noted_at") - rows["events"])


async def test_records__what_is_old__removed_and_a_process_that_comes_back_says_all_again(
    environment: Environment, streams: hub.Hub
) -> None:
    key = EnvironmentKey(environment.api_key)
    now = timezone.now()
    ledger = Ledger()
    records = Records(ledger)
    notes = Notes()
    notes.streams[key] = 7
    for number in range(3):
        notes.of(key, now + timedelta(microseconds=number)).written = 1
    ledger.take(notes, now)
    await sync_to_async(records.write)(now)
    told = await shown(key, lambda told: told.streams == 7)
    assert len(told.events) == 3
    # It was stopped for so long that nobody knows it any more.
    await age(processes=models.KEPT * 2, minutes=models.KEPT * 2, events=timedelta(0))
    assert (await sync_to_async(panel.panel)(key)).streams == 0
    later = now + models.MINUTE
    with mock.patch("realtime.inspector.records.MOST_EVENTS", 2), mock.patch("realtime.inspector.records.SLICE", 1):
        await sync_to_async(Records(Ledger()).write)(later)
    assert await sync_to_async(InspectedMinute.objects.count)() == 0
    told = await sync_to_async(panel.panel)(key)
    assert len(told.events) == 2
    with mock.patch("realtime.inspector.records.time", mock.Mock(**{"monotonic.return_value": float("inf")})):
        await sync_to_async(records.write)(later)
    assert (await shown(key, lambda told: told.streams)).streams == 7
    await age(processes=timedelta(0), minutes=timedelta(0), events=models.KEPT * 2)
    await sync_to_async(records.write)(later + models.MINUTE)
    assert (await sync_to_async(panel.panel)(key)).events == ()
    await sync_to_async(records.end)(later + models.MINUTE)
    assert (await sync_to_async(panel.panel)(key)).streams == 0


async def test_records__nothing_new_for_long__streams_are_said_again_and_then_forgotten(
    environment: Environment, streams: hub.Hub
) -> None:
    key = EnvironmentKey(environment.api_key)
    now = timezone.now()
    ledger = Ledger()

    def minutes(streams: int, moment: datetime) -> list[int]:
        """The streams in the rows that are due then."""
        notes = Notes()
        notes.streams[key] = streams
        ledger.take(notes, moment)
        ledger.turn(moment)
        _, rows = ledger.due(1)
        ledger.written(rows)
        return [row.streams for row in rows]

    assert minutes(7, now) == [7]
    assert minutes(7, now + models.MINUTE) == []
    assert minutes(7, now + models.REPEATED) == [7]
    assert minutes(0, now + models.REPEATED) == [0]
    assert minutes(0, now + models.REPEATED * 2) == []
    assert minutes(0, now + models.REPEATED * 4) == []


async def test_command__as_text_and_as_json(
    state: FeatureState, environment: Environment, settings: Settings, streams: hub.Hub
) -> None:
    key = environment.api_key
    async with stream(key) as client:
        await client.opened()
        version = await toggle(state)
        told = await shown(key, lambda told: settled(told) and told.events[0].written)
        text = await said(key)
        whole = json.loads(await said(key, "--json", "--events=1"))
    assert text.startswith("Streams: 1\n        1 in ")
    assert f"{told.events[0].version}: written to 1, " in text
    assert " after commit\n" in text
    assert "streams 1, events 1, written 1, " in text
    assert whole["streams"] == 1
    assert whole["events"][0]["updated_at"] == version.isoformat()
    assert whole["events"][0]["version"] == told.events[0].version
    settings.REALTIME_INSPECTION = False
    assert (await said(key, "--events=0")).count("written to") == 0
    with pytest.raises(CommandError):
        await said(key, "--events=-1")


@pytest.mark.parametrize(
    ("value", "host", "keeps"),
    [("", "embedded", True), ("", "flagsmith", False), ("off", "embedded", False), (True, "detached", True)],
)
def test_setting__says_or_leaves_it_to_the_host(value: object, host: str, keeps: bool, settings: Settings) -> None:
    settings.REALTIME_INSPECTION, settings.REALTIME_HOST = value, host
    assert conf.INSPECTS is keeps


def test_setting__nonsense__is_said_at_start(settings: Settings) -> None:
    settings.REALTIME_INSPECTION = "sometimes"
    assert [message.msg for message in check_settings()] == [
        "REALTIME_INSPECTION must be true or false, not 'sometimes'."
    ]
