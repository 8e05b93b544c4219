"""The Redis bus. It uses django-eventstream's setting (``EVENTSTREAM_REDIS``), channel and message format."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from django.conf import settings

from realtime.bus import eventstream
from realtime.bus.publisher import Publisher
from realtime.bus.spec import Health
from realtime.bus.supervised import ANSWER_SECONDS, SILENCE_SECONDS, SupervisedBus
from realtime.types import EnvironmentState

SETTING = "EVENTSTREAM_REDIS"

# Timeouts, unless ``EVENTSTREAM_REDIS`` sets them. Only the threads of the bus wait for Redis.
TIMEOUTS = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}


class RedisBus(SupervisedBus):
    """For several processes that do not share a PostgreSQL database, or publish more than NOTIFY can carry.

    It publishes in a thread, and listens in place of django-eventstream (``eventstream.py``, items 1 to 3).
    """

    name = "redis"

    def __init__(self, on_connect: Callable[[], None]) -> None:
        super().__init__(on_connect)
        self.publisher = Publisher("realtime-bus-redis-publisher", eventstream.publish_in_redis)
        eventstream.shorten_retries({name: value for name, value in TIMEOUTS.items() if name not in _options()})

    def send(self, states: Sequence[EnvironmentState]) -> None:
        self.publisher.put(states)

    def start(self) -> None:
        eventstream.disable_redis_listener()
        super().start()

    def health(self) -> Health:
        health = super().health()
        if self.publisher.failing:
            return replace(health, connected=False, last_error=self.publisher.last_error)
        return health

    def listen(self, ended: threading.Event) -> None:
        with _client() as client, client.pubsub() as pubsub, self.interruptible(partial(_disconnect, client)):
            pubsub.subscribe(eventstream.REDIS_CHANNEL)
            pinged_at: float | None = None
            while not ended.is_set():
                self.beat()
                message = pubsub.get_message(timeout=SILENCE_SECONDS)
                if message is not None:
                    pinged_at = None
                    self._handle(message)
                elif pinged_at is None:
                    pubsub.ping()
                    pinged_at = time.monotonic()
                elif time.monotonic() - pinged_at > ANSWER_SECONDS:
                    raise TimeoutError(f"Redis has not answered for {ANSWER_SECONDS:g} s")

    def _handle(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self.connected()
        elif message["type"] == "message":
            self.receive(message["data"])


def _options() -> dict[str, Any]:
    options: dict[str, Any] = getattr(settings, SETTING)
    return options


def _client() -> Any:
    """A client for listening, which raises connection errors immediately instead of retrying."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    ours = {"decode_responses": False, "socket_keepalive": True, "retry": Retry(NoBackoff(), 0)}
    return Redis(**{**TIMEOUTS, **_options(), **ours})


def _disconnect(client: Any) -> None:
    """Close all connections of the client, also one that a thread waits on."""
    client.connection_pool.disconnect(inuse_connections=True)
