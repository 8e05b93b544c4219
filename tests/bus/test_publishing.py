"""Publishing through Redis: a slow or unavailable Redis neither delays nor fails the publisher. Choice of the bus."""

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
from realtime.bus import publisher, redis
from realtime.bus.publisher import Publisher
from realtime.changes import publish
from realtime.compat.django_eventstream import REDIS_CHANNEL
from realtime.types import EnvironmentKey, EnvironmentState
from tests.bus.conftest import KEY, PATIENCE, EventRecorder, Settings, patient, state
from tests.support import programs
from tests.support.patience import until
from tests.support.redis import Redis
from tests.support.server import environ


@pytest.fixture
def chosen(redis_bus: redis.RedisBus, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> redis.RedisBus:
    """A Redis bus, as the bus of this process."""
    settings.REALTIME_BUS = "redis"
    monkeypatch.setattr(bus, "_current", redis_bus)
    return redis_bus


@pytest.fixture
def subscriber(redis_server: Redis) -> Iterator[PubSub]:
    """A plain Redis subscriber, as another process."""
    with Client.from_url(redis_server.url) as client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(REDIS_CHANNEL)
        pubsub.get_message(timeout=PATIENCE)
        yield pubsub


def next_version(subscriber: PubSub) -> Decimal:
    message = None
    deadline = time.monotonic() + PATIENCE
    while message is None and time.monotonic() < deadline:
        message = subscriber.get_message(timeout=PATIENCE)
    assert message is not None
    sent = json.loads(message["data"])
    assert sent["channel"] == adapter.channel(KEY)
    assert sent["event_type"] == adapter.EVENT
    return version(sent["data"])


def version(data: str) -> Decimal:
    return Decimal(json.loads(data, parse_float=Decimal)["updated_at"])


def later(sent: EnvironmentState, number: int) -> EnvironmentState:
    return sent._replace(updated_at=sent.updated_at + timedelta(milliseconds=number))


def test_publish__redis__delivered_here_and_published_in_django_eventstreams_format(
    chosen: redis.RedisBus, recorder: EventRecorder, subscriber: PubSub
) -> None:
    sent = state()
    publish.publish([sent])
    assert recorder.next() == adapter.data(sent.updated_at)
    assert next_version(subscriber) == version(adapter.data(sent.updated_at))


def test_publish__redis_paused__does_not_wait_and_publishes_the_latest(
    chosen: redis.RedisBus, recorder: EventRecorder, subscriber: PubSub, redis_server: Redis
) -> None:
    sent = state()
    redis_server.process.send(signal.SIGSTOP)
    try:
        os.waitid(os.P_PID, redis_server.process.pid, os.WSTOPPED)
        began = time.monotonic()
        for number in range(200):
            publish.publish([later(sent, number)])
            # Redis's timeout is twice as long.
            assert time.monotonic() - began < PATIENCE
            assert recorder.next() == adapter.data(later(sent, number).updated_at)
    finally:
        redis_server.process.send(signal.SIGCONT)
    newest = version(adapter.data(later(sent, 199).updated_at))
    versions = [next_version(subscriber)]
    while versions[-1] != newest:
        versions.append(next_version(subscriber))
    # The one that was being sent when Redis was paused, and the newest.
    assert len(versions) <= 2


def test_publish__redis_stopped__delivered_in_this_process_and_published_when_it_is_back(
    chosen: redis.RedisBus, recorder: EventRecorder, redis_server: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = state(), state(1), state(2)
    publishing = chosen.publisher.worker.failures
    redis_server.stop()
    try:
        for sent in (first, second):
            publish.publish([sent])
            assert recorder.next() == adapter.data(sent.updated_at)
        until(lambda: publishing.is_failing)
        health = chosen.health()
        assert not health.connected
        assert "Connection" in health.last_error
    finally:
        redis_server.start()
    # The failed state is tried again, although nothing else is published.
    until(lambda: not publishing.is_failing)
    assert sum("bus_publish_failed" in record.getMessage() for record in caplog.records) == 1
    # The first attempt fails on the old connection, and the second one uses a new connection.
    redis_server.stop()
    redis_server.start()
    publish.publish([third])
    assert chosen.publisher.worker.stop(PATIENCE)
    assert not publishing.is_failing


@pytest.mark.slow
def test_publish__process_forks_and_exits__both_processes_have_sent_their_states(
    redis_server: Redis, subscriber: PubSub, tmp_path: object
) -> None:
    code = f"""
import os
from datetime import timedelta
import django
django.setup()
from django.utils import timezone
from realtime.changes import publish
from realtime.bus import eventstream, publisher
from realtime.types import EnvironmentState
# The default of one second may be too short on a busy machine.
publisher.EXIT_SECONDS = {PATIENCE}
publish.publish([EnvironmentState({KEY!r}, timezone.now(), True)])
child = os.fork()
# A different version in each process.
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


def test_start__django_eventstreams_redis_listener__is_disabled(
    redis_bus: redis.RedisBus, monkeypatch: pytest.MonkeyPatch, connects: "queue.SimpleQueue[float]"
) -> None:
    manager = get_listener_manager()
    monkeypatch.setattr(manager, "redis_listener", object())
    redis_bus.start()
    connects.get(timeout=PATIENCE)
    assert manager.redis_listener is None


def test_redis_client__setting_without_a_timeout__gets_the_default(
    redis_server: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EVENTSTREAM_REDIS = {"port": redis_server.port, "socket_timeout": 7.0}
    monkeypatch.setattr(eventstream, "redis_client", Client(**settings.EVENTSTREAM_REDIS))
    bus = redis.RedisBus(lambda: None)
    bus.send([state()])
    assert bus.publisher.worker.stop(PATIENCE)
    arguments = eventstream.redis_client.get_connection_kwargs()
    assert (arguments["socket_timeout"], arguments["socket_connect_timeout"]) == (7.0, 1.0)


class Slow:
    """A ``send`` function that blocks until ``released`` is set. If ``fails`` is set, the first call then raises."""

    def __init__(self) -> None:
        self.fails = False
        self.sent: list[EnvironmentState] = []
        self.began, self.released = threading.Event(), threading.Event()

    def __call__(self, sent: EnvironmentState) -> None:
        self.began.set()
        assert self.released.wait(PATIENCE)
        if self.fails:
            self.fails = False
            raise ConnectionError
        self.sent.append(sent)


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def busy(slow: Slow) -> Publisher:
    """A publisher whose thread is blocked while it sends the first state."""
    blocked = Publisher("test", slow)
    blocked.put([state(key=EnvironmentKey("first"))])
    assert slow.began.wait(PATIENCE)
    return blocked


def test_publisher__older_version_added_after_a_newer_one__sends_the_newer_one(slow: Slow, busy: Publisher) -> None:
    older, newer = state(), state(1)
    busy.put([older])
    busy.put([newer])
    busy.put([older])
    slow.released.set()
    assert busy.worker.stop(PATIENCE)
    assert slow.sent[1:] == [newer]


def test_publisher__more_than_max_pending__drops_the_oldest(
    slow: Slow, busy: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "MAX_PENDING", 2)
    waiting = [state(key=EnvironmentKey(f"environment {number}")) for number in range(3)]
    busy.put(waiting)
    slow.released.set()
    assert busy.worker.stop(PATIENCE)
    assert slow.sent[1:] == waiting[1:]


def test_publisher__sending_fails_with_max_pending__drops_the_failed_one(
    slow: Slow, busy: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "MAX_PENDING", 1)
    slow.fails = True
    waiting = state()
    busy.put([waiting])
    slow.released.set()
    assert busy.worker.stop(PATIENCE)
    assert slow.sent == [waiting]


def test_current__unknown_bus__raises_and_publishing_does_not_fail(settings: Settings) -> None:
    settings.REALTIME_BUS = "pigeon"
    with pytest.raises(ImproperlyConfigured, match="'pigeon'"):
        bus.current()
    # The change is committed, so publishing must not raise.
    publish.publish([state()])


def test_current__settings_changed__makes_another_bus_and_closes_the_first(
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
def test_name__realtime_bus_empty__chosen_by_other_settings(settings: Settings, streams: bool) -> None:
    settings.REALTIME_BUS = ""
    if streams:
        settings.EVENTSTREAM_REDIS = {}
        assert bus.name() == "redis"
    else:
        from django.db import connection

        assert bus.name() == {"sqlite": "memory", "postgresql": "postgres"}[connection.vendor]
