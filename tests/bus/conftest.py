"""Fixtures: a listening bus of each back end, and a peer on the same server that publishes and causes failures."""

import os
import queue
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, Protocol

import psycopg
import pytest
from django.utils import timezone
from django_eventstream import eventstream
from django_eventstream.event import Event
from django_eventstream.views import Listener, get_listener_manager
from redis import Redis as Client

from realtime.bus import eventstream as adapter
from realtime.bus import listening, postgres, redis
from realtime.bus.eventstream import channel
from realtime.bus.supervised import SupervisedBus
from realtime.compat.django_eventstream import REDIS_CHANNEL
from realtime.serving import redis_urls
from realtime.types import EnvironmentKey, EnvironmentState
from tests.support.patience import PATIENCE
from tests.support.postgresql import PostgreSQL
from tests.support.redis import Redis

KEY = EnvironmentKey("bus-under-test")

Settings = Any

# Redis's timeout: long enough that a slow machine is not mistaken for a paused Redis.
REDIS_SECONDS = 2 * PATIENCE


def state(seconds: float = 0.0, key: EnvironmentKey = KEY) -> EnvironmentState:
    """A state whose version is this number of seconds after now."""
    return EnvironmentState(key, timezone.now() + timedelta(seconds=seconds), True)


def text(sent: EnvironmentState) -> str:
    return adapter.encode(sent)


class EventRecorder(Listener):
    """Records the events of one environment that are delivered in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.channels = {channel(KEY)}
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def wake_threadsafe(self) -> None:
        for items in self.channel_items.values():
            for item in items:
                self._events.put(item)
        self.channel_items = {}

    def next(self) -> str:
        """The data of the next event."""
        data: str = self._events.get(timeout=PATIENCE).data
        return data

    @property
    def is_empty(self) -> bool:
        return self._events.empty()


@pytest.fixture
def recorder() -> Iterator[EventRecorder]:
    recorder = EventRecorder()
    get_listener_manager().add_listener(recorder)
    yield recorder
    get_listener_manager().remove_listener(recorder)


class Peer(Protocol):
    """A client of the bus's server, which publishes events and causes failures."""

    bus: SupervisedBus

    def publish(self, text: str) -> None:
        """Publish this text on the bus's channel."""

    def cut(self) -> None:
        """Close the bus's listening connection."""

    def freeze(self) -> None:
        """Stop the server from answering on that connection."""

    def thaw(self) -> None: ...

    def stop(self) -> None:
        """Stop the server."""

    def start(self) -> None: ...


class PostgreSQLPeer:
    def __init__(self, server: PostgreSQL, bus: SupervisedBus) -> None:
        self.bus = bus
        self._server = server
        self._frozen: list[int] = []
        self.start, self.stop = server.start, server.stop

    def publish(self, text: str) -> None:
        self._execute("SELECT pg_notify(%s, %s)", postgres.CHANNEL, text)

    def cut(self) -> None:
        for pid in self._listeners():
            self._execute("SELECT pg_terminate_backend(%s)", pid)

    def freeze(self) -> None:
        self._frozen = self._listeners()
        for pid in self._frozen:
            self._send(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self._frozen:
            self._send(pid, signal.SIGCONT)

    def _send(self, pid: int, number: signal.Signals) -> None:
        # The process may belong to an earlier test, and end.
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    def _listeners(self) -> list[int]:
        rows = self._execute("SELECT pid FROM pg_stat_activity WHERE application_name = %s", "realtime-bus")
        return [pid for (pid,) in rows]

    def _execute(self, statement: str, *parameters: object) -> list[Any]:
        with psycopg.connect(self._server.url(), autocommit=True) as connection:
            return connection.execute(statement, parameters).fetchall()


class RedisPeer:
    def __init__(self, server: Redis, bus: SupervisedBus) -> None:
        self.bus = bus
        self._server = server
        self.start, self.stop = server.start, server.stop

    def publish(self, text: str) -> None:
        with self._client() as client:
            client.publish(REDIS_CHANNEL, text)

    def cut(self) -> None:
        with self._client() as client:
            client.client_kill_filter(_type="pubsub")

    def freeze(self) -> None:
        self._server.process.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._server.process.send(signal.SIGCONT)

    def _client(self) -> Client:
        return Client.from_url(self._server.url)


def patient(server: Redis) -> str:
    """The server's URL, with a timeout of ``REDIS_SECONDS``."""
    return f"{server.url}?socket_timeout={REDIS_SECONDS:g}"


@pytest.fixture
def connects() -> "queue.SimpleQueue[float]":
    """The times at which the bus called ``on_connect``."""
    return queue.SimpleQueue()


@pytest.fixture
def redis_bus(
    redis_server: Redis, connects: "queue.SimpleQueue[float]", settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[redis.RedisBus]:
    """A Redis bus, and django-eventstream's Redis client, as in a process started with ``EVENTSTREAM_REDIS``."""
    settings.EVENTSTREAM_REDIS = redis_urls.arguments(patient(redis_server))
    monkeypatch.setattr(eventstream, "redis_client", Client(**settings.EVENTSTREAM_REDIS))
    bus = redis.RedisBus(lambda: connects.put(time.monotonic()))
    yield bus
    bus.close(PATIENCE)
    bus.publisher.worker.stop(PATIENCE)


@pytest.fixture
def postgres_bus(
    postgresql: PostgreSQL, connects: "queue.SimpleQueue[float]", settings: Settings
) -> Iterator[postgres.PostgresBus]:
    settings.REALTIME_BUS_DATABASE_URL = postgresql.url()
    bus = postgres.PostgresBus(lambda: connects.put(time.monotonic()))
    yield bus
    bus.close(PATIENCE)


@pytest.fixture(params=["postgres", "psycopg2", "redis"])
def peer(request: pytest.FixtureRequest, connects: "queue.SimpleQueue[float]", monkeypatch: pytest.MonkeyPatch) -> Peer:
    """A peer of a listening bus, whose timeout is long enough for a slow server."""
    name = request.param
    if name == "psycopg2":
        pytest.importorskip("psycopg2")
        # As in a project that has no psycopg 3.
        monkeypatch.setattr(listening, "find_spec", lambda name: None)
        name = "postgres"
    for module in (listening, redis):
        monkeypatch.setattr(module, "ANSWER_SECONDS", PATIENCE)
    bus = request.getfixturevalue(f"{name}_bus")
    peer: Peer
    if name == "postgres":
        peer = PostgreSQLPeer(request.getfixturevalue("postgresql"), bus)
    else:
        peer = RedisPeer(request.getfixturevalue("redis_server"), bus)
    bus.start()
    connects.get(timeout=PATIENCE)
    return peer
