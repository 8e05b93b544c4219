"""A bus of each kind that listens in this process, and somebody else on the same server."""

import os
import queue
import signal
import time
from collections.abc import Callable, Iterator
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
from realtime.bus import postgres, redis
from realtime.bus.eventstream import channel
from realtime.bus.supervised import SupervisedBus
from realtime.serving import redis_urls
from realtime.types import EnvironmentKey, EnvironmentState
from tests.support.patience import PATIENCE
from tests.support.postgresql import PostgreSQL
from tests.support.redis import Redis

KEY = EnvironmentKey("bus-under-test")

Settings = Any

# Whoever waits for a paused Redis waits so long, and no slow machine takes one for paused.
REDIS_SECONDS = 2 * PATIENCE


def state(seconds: float = 0.0, key: EnvironmentKey = KEY) -> EnvironmentState:
    """A version that is so much later than now."""
    return EnvironmentState(key, timezone.now() + timedelta(seconds=seconds), True)


def text(said: EnvironmentState) -> str:
    return adapter.encode(said)


def until(holds: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Ask again and again, for what nothing announces."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it does not come to hold"
        time.sleep(0.01)


class Ear(Listener):
    """What is delivered in this process of one environment."""

    def __init__(self) -> None:
        super().__init__()
        self.channels = {channel(KEY)}
        self._heard: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def wake_threadsafe(self) -> None:
        for items in self.channel_items.values():
            for item in items:
                self._heard.put(item)
        self.channel_items = {}

    def next(self) -> str:
        """The data of the next event."""
        data: str = self._heard.get(timeout=PATIENCE).data
        return data

    @property
    def is_quiet(self) -> bool:
        return self._heard.empty()


@pytest.fixture
def ear() -> Iterator[Ear]:
    ear = Ear()
    get_listener_manager().add_listener(ear)
    yield ear
    get_listener_manager().remove_listener(ear)


class Other(Protocol):
    """Somebody else, who can do to the bus what may happen to it."""

    bus: SupervisedBus

    def say(self, text: str) -> None:
        """Publish this."""

    def cut(self) -> None:
        """End the connection that the bus listens on."""

    def freeze(self) -> None:
        """Let nothing answer on it any more."""

    def thaw(self) -> None: ...

    def stop(self) -> None:
        """End the server."""

    def start(self) -> None: ...


class OtherOnPostgreSQL:
    def __init__(self, server: PostgreSQL, bus: SupervisedBus) -> None:
        self.bus = bus
        self._server = server
        self._frozen: list[int] = []
        self.start, self.stop = server.start, server.stop

    def say(self, text: str) -> None:
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
        # It may be an earlier test's, and about to end.
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    def _listeners(self) -> list[int]:
        rows = self._execute("SELECT pid FROM pg_stat_activity WHERE application_name = %s", "realtime-bus")
        return [pid for (pid,) in rows]

    def _execute(self, statement: str, *parameters: object) -> list[Any]:
        with psycopg.connect(self._server.url(), autocommit=True) as connection:
            return connection.execute(statement, parameters).fetchall()


class OtherOnRedis:
    def __init__(self, server: Redis, bus: SupervisedBus) -> None:
        self.bus = bus
        self._server = server
        self.start, self.stop = server.start, server.stop

    def say(self, text: str) -> None:
        with self._client() as client:
            client.publish(adapter.REDIS_CHANNEL, text)

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
    """Its URL, for those who wait ``REDIS_SECONDS``."""
    return f"{server.url}?socket_timeout={REDIS_SECONDS:g}"


@pytest.fixture
def connects() -> "queue.SimpleQueue[float]":
    """When the bus said that it may have missed something."""
    return queue.SimpleQueue()


@pytest.fixture
def redis_bus(
    redis_server: Redis, connects: "queue.SimpleQueue[float]", settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[redis.RedisBus]:
    """The bus of a process whose setting is there when it starts."""
    settings.EVENTSTREAM_REDIS = redis_urls.arguments(patient(redis_server))
    monkeypatch.setattr(eventstream, "redis_client", Client(**settings.EVENTSTREAM_REDIS))
    bus = redis.RedisBus(lambda: connects.put(time.monotonic()))
    yield bus
    bus.close(PATIENCE)
    bus.outgoing.flush(PATIENCE)


@pytest.fixture
def postgres_bus(
    postgresql: PostgreSQL, connects: "queue.SimpleQueue[float]", settings: Settings
) -> Iterator[postgres.PostgresBus]:
    settings.REALTIME_BUS_DATABASE_URL = postgresql.url()
    bus = postgres.PostgresBus(lambda: connects.put(time.monotonic()))
    yield bus
    bus.close(PATIENCE)


@pytest.fixture(params=["postgres", "psycopg2", "redis"])
def other(
    request: pytest.FixtureRequest, connects: "queue.SimpleQueue[float]", monkeypatch: pytest.MonkeyPatch
) -> Other:
    """Somebody else, beside a bus that listens, and that takes no slow server for a dead one."""
    name = request.param
    if name == "psycopg2":
        pytest.importorskip("psycopg2")
        # As in a project that has no psycopg 3.
        monkeypatch.setattr(postgres, "find_spec", lambda name: None)
        name = "postgres"
    for module in (postgres, redis):
        monkeypatch.setattr(module, "ANSWER_SECONDS", PATIENCE)
    bus = request.getfixturevalue(f"{name}_bus")
    other: Other
    if name == "postgres":
        other = OtherOnPostgreSQL(request.getfixturevalue("postgresql"), bus)
    else:
        other = OtherOnRedis(request.getfixturevalue("redis_server"), bus)
    bus.start()
    connects.get(timeout=PATIENCE)
    return other
