"""Publishing by Redis: nobody who publishes waits for it, or fails with it."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ImproperlyConfigured
from django_eventstream import eventstream
from django_eventstream.views import get_listener_manager
from redis import Redis as Client
from redis.client import PubSub

from realtime import bus
from realtime.bus import eventstream as adapter
from realtime.bus import outgoing, redis
from realtime.bus.outgoing import Outgoing
from realtime.changes import publish
from realtime.types import EnvironmentKey, EnvironmentState
from tests.bus.conftest import KEY, PATIENCE, Ear, Settings, patient, state, until
from tests.support import programs
from tests.support.redis import Redis
from tests.support.server import environ


@pytest.fixture
def chosen(redis_bus: redis.RedisBus, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> redis.RedisBus:
    """Redis as this process's bus."""
    settings.REALTIME_BUS = "redis"
    monkeypatch.setattr(bus, "_current", redis_bus)
    return redis_bus


@pytest.fixture
def subscriber(redis_server: Redis) -> Iterator[PubSub]:
    """Another process's end, without anything of ours."""
    with Client.from_url(redis_server.url) as client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(adapter.REDIS_CHANNEL)
        pubsub.get_message(timeout=PATIENCE)
        yield pubsub


def next_version(subscriber: PubSub) -> Decimal:
    message = None
    deadline = time.monotonic() + PATIENCE
    while message is None and time.monotonic() < deadline:
        message = subscriber.get_message(timeout=PATIENCE)
    assert message is not None
    said = json.loads(message["data"])
    assert said["channel"] == adapter.channel(KEY)
    assert said["event_type"] == adapter.EVENT
    return version(said["data"])


def version(data: str) -> Decimal:
    return Decimal(json.loads(data, parse_float=Decimal)["updated_at"])


def later(said: EnvironmentState, number: int) -> EnvironmentState:
    return said._replace(updated_at=said.updated_at + timedelta(milliseconds=number))


def test_publish__redis__reaches_this_process_and_all_others_in_django_eventstreams_words(
    chosen: redis.RedisBus, ear: Ear, subscriber: PubSub
) -> None:
    said = state()
    publish.publish([said])
    assert ear.next() == adapter.data(said.updated_at)
    assert next_version(subscriber) == version(adapter.data(said.updated_at))


def test_publish__redis_paused__nobody_waits_and_the_latest_wins(
    chosen: redis.RedisBus, ear: Ear, subscriber: PubSub, redis_server: Redis
) -> None:
    said = state()
    redis_server.process.send(signal.SIGSTOP)
    try:
        os.waitid(os.P_PID, redis_server.process.pid, os.WSTOPPED)
        began = time.monotonic()
        for number in range(200):
            publish.publish([later(said, number)])
            # If it waited for Redis, it would wait for more.
            assert time.monotonic() - began < PATIENCE
            assert ear.next() == adapter.data(later(said, number).updated_at)
    finally:
        redis_server.process.send(signal.SIGCONT)
    newest = version(adapter.data(later(said, 199).updated_at))
    versions = [next_version(subscriber)]
    while versions[-1] != newest:
        versions.append(next_version(subscriber))
    # The one that was under way meanwhile, and the newest.
    assert len(versions) <= 2


def test_publish__redis_away__does_not_fail_and_is_heard_here(
    chosen: redis.RedisBus, ear: Ear, redis_server: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = state(), state(1), state(2)
    redis_server.stop()
    try:
        for said in (first, second):
            publish.publish([said])
            assert ear.next() == adapter.data(said.updated_at)
            assert chosen.outgoing.flush(PATIENCE)
        health = chosen.health()
        assert not health.connected
        assert "Connection" in health.last_error
        assert sum("bus_publish_failed" in record.getMessage() for record in caplog.records) == 1
    finally:
        redis_server.start()
    # It is found to be back though nobody says anything more.
    until(lambda: not chosen.outgoing.failing)
    # A connection of before is of no use; the second try, on a new one, is.
    redis_server.stop()
    redis_server.start()
    publish.publish([third])
    assert chosen.outgoing.flush(PATIENCE)
    assert not chosen.outgoing.failing


def test_publish__process_that_forks_and_ends_at_once__both_have_sent_it(
    redis_server: Redis, subscriber: PubSub, tmp_path: object
) -> None:
    code = f"""
import os
from datetime import timedelta
import django
django.setup()
from django.utils import timezone
from realtime.changes import publish
from realtime.bus import eventstream, outgoing
from realtime.types import EnvironmentState
# Not one, in which a busy machine may send nothing.
outgoing.END_SECONDS = {PATIENCE}
publish.publish([EnvironmentState({KEY!r}, timezone.now(), True)])
child = os.fork()
# Not the same one in both.
last = timezone.now() + timedelta(hours=child == 0)
publish.publish([EnvironmentState({KEY!r}, last, True)])
if child:
    os.waitpid(child, 0)
print(eventstream.data(last))
"""
    variables = {
        "REDIS_URL": patient(redis_server),
        "VAR_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "settings.dev",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=programs.ROOT,
        env=environ(**variables),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    missing = {version(line) for line in done.stdout.splitlines()}
    assert len(missing) == 2
    while missing:
        missing.discard(next_version(subscriber))


def test_start__django_eventstreams_own_listener__is_not_started_as_well(
    redis_bus: redis.RedisBus, monkeypatch: pytest.MonkeyPatch, connects: "queue.SimpleQueue[float]"
) -> None:
    manager = get_listener_manager()
    monkeypatch.setattr(manager, "redis_listener", object())
    redis_bus.start()
    connects.get(timeout=PATIENCE)
    assert manager.redis_listener is None


def test_client__setting_without_timeouts__gets_ours(
    redis_server: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EVENTSTREAM_REDIS = {"port": redis_server.port, "socket_timeout": 7.0}
    monkeypatch.setattr(eventstream, "redis_client", Client(**settings.EVENTSTREAM_REDIS))
    redis.RedisBus(lambda: None)
    arguments = eventstream.redis_client.get_connection_kwargs()
    assert (arguments["socket_timeout"], arguments["socket_connect_timeout"]) == (7.0, 1.0)


class Slow:
    """A way out that takes one state, and holds it until it is let go."""

    def __init__(self) -> None:
        self.sent: list[EnvironmentState] = []
        self.began, self.released = threading.Event(), threading.Event()

    def __call__(self, said: EnvironmentState) -> None:
        self.began.set()
        assert self.released.wait(PATIENCE)
        self.sent.append(said)


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def busy(slow: Slow) -> Outgoing:
    """It is held up with the first."""
    out = Outgoing("test", slow)
    out.put([state(key=EnvironmentKey("first"))])
    assert slow.began.wait(PATIENCE)
    return out


def test_outgoing__older_version_after_a_newer_one__the_newer_one_goes_out(slow: Slow, busy: Outgoing) -> None:
    older, newer = state(), state(1)
    busy.put([older])
    busy.put([newer])
    busy.put([older])
    assert not busy.flush(0.01)
    slow.released.set()
    assert busy.flush(PATIENCE)
    assert slow.sent[1:] == [newer]


def test_outgoing__more_environments_than_it_holds__the_one_that_waits_longest_is_dropped(
    slow: Slow, busy: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "MOST", 2)
    waiting = [state(key=EnvironmentKey(f"environment {number}")) for number in range(3)]
    busy.put(waiting)
    slow.released.set()
    assert busy.flush(PATIENCE)
    assert slow.sent[1:] == waiting[1:]


def test_current__bus_that_nobody_knows__is_refused_with_its_name(settings: Settings) -> None:
    settings.REALTIME_BUS = "pigeon"
    with pytest.raises(ImproperlyConfigured, match="'pigeon'"):
        bus.current()
    # The change is committed; nobody fails for it.
    publish.publish([state()])


def test_current__settings_that_change__another_bus_and_the_first_is_closed(
    redis_bus: redis.RedisBus, settings: Settings, monkeypatch: pytest.MonkeyPatch, connects: "queue.SimpleQueue[float]"
) -> None:
    monkeypatch.setattr(bus, "_current", redis_bus)
    settings.REALTIME_BUS = "redis"
    redis_bus.start()
    connects.get(timeout=PATIENCE)
    assert bus.current() is redis_bus
    settings.REALTIME_BUS = "memory"
    assert bus.current().name == "memory"
    until(lambda: not redis_bus.health().connected)


@pytest.mark.parametrize("streams", [True, False], ids=["redis", "database"])
def test_name__nothing_named__by_what_is_configured(settings: Settings, streams: bool) -> None:
    settings.REALTIME_BUS = ""
    if streams:
        settings.EVENTSTREAM_REDIS = {}
        assert bus.name() == "redis"
    else:
        from django.db import connection

        assert bus.name() == {"sqlite": "memory", "postgresql": "postgres"}[connection.vendor]
