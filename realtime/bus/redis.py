"""Redis, by django-eventstream's own setting and messages (``EVENTSTREAM_REDIS``)."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from django.conf import settings

from realtime.bus import eventstream
from realtime.bus.outgoing import Outgoing
from realtime.bus.spec import Health
from realtime.bus.supervised import ANSWER_SECONDS, SILENCE_SECONDS, SupervisedBus
from realtime.types import EnvironmentState

SETTING = "EVENTSTREAM_REDIS"

# How long Redis may take where the setting does not say it. Nobody but our threads waits for it.
PATIENCE = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}


class RedisBus(SupervisedBus):
    """For several processes that do not share a PostgreSQL, or ask more of it than NOTIFY gives.

    It publishes in a thread, and it listens in place of django-eventstream (``eventstream.py``, 1 to 3).
    """

    name = "redis"

    def __init__(self, on_connect: Callable[[], None]) -> None:
        super().__init__(on_connect)
        self.outgoing = Outgoing("realtime-bus-redis-publisher", eventstream.publish_in_redis)
        eventstream.shorten_retries({name: value for name, value in PATIENCE.items() if name not in _options()})

    def send(self, states: Sequence[EnvironmentState]) -> None:
        self.outgoing.put(states)

    def start(self) -> None:
        eventstream.disable_redis_listener()
        super().start()

    def health(self) -> Health:
        health = super().health()
        if self.outgoing.failing:
            return replace(health, connected=False, last_error=self.outgoing.last_error)
        return health

    def listen(self, ended: threading.Event) -> None:
        with _client() as client, client.pubsub() as pubsub, self.interruptible(partial(_disconnect, client)):
            pubsub.subscribe(eventstream.REDIS_CHANNEL)
            asked_at: float | None = None
            while not ended.is_set():
                self.beat()
                message = pubsub.get_message(timeout=SILENCE_SECONDS)
                if message is not None:
                    asked_at = None
                    self._take(message)
                elif asked_at is None:
                    pubsub.ping()
                    asked_at = time.monotonic()
                elif time.monotonic() - asked_at > ANSWER_SECONDS:
                    raise TimeoutError(f"Redis has not answered for {ANSWER_SECONDS:g} s")

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self.connected()
        elif message["type"] == "message":
            self.receive(message["data"])


def _options() -> dict[str, Any]:
    options: dict[str, Any] = getattr(settings, SETTING)
    return options


def _client() -> Any:
    """A connection of our own to listen on, whose failures come to us at once."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    ours = {"decode_responses": False, "socket_keepalive": True, "retry": Retry(NoBackoff(), 0)}
    return Redis(**{**PATIENCE, **_options(), **ours})


def _disconnect(client: Any) -> None:
    """End its connections, also under whoever waits on one."""
    client.connection_pool.disconnect(inuse_connections=True)
