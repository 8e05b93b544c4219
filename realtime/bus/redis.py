"""The Redis bus. It uses django-eventstream's setting (``EVENTSTREAM_REDIS``), channel and message format."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from realtime import redis_clients
from realtime.bus import eventstream
from realtime.bus.publisher import Publisher
from realtime.bus.spec import Health
from realtime.bus.supervised import ANSWER_SECONDS, SILENCE_SECONDS, SupervisedBus
from realtime.compat import django_eventstream as compat
from realtime.types import EnvironmentState

# Timeouts, unless ``EVENTSTREAM_REDIS`` sets them. Only the threads of the bus wait for Redis.
TIMEOUTS = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}


class RedisBus(SupervisedBus):
    """For several processes that do not share a PostgreSQL database, or publish more than NOTIFY can carry.

    It publishes in a thread, and listens in place of django-eventstream (``compat/django_eventstream.py`` has reasons).
    """

    name = "redis"

    def __init__(self, on_connect: Callable[[], None]) -> None:
        super().__init__(on_connect)
        self.publisher = Publisher("realtime-bus-redis-publisher", self._publish)
        self._has_client = False

    def send(self, states: Sequence[EnvironmentState]) -> None:
        self.publisher.put(states)

    def start(self) -> None:
        compat.disable_redis_listener()
        super().start()

    def health(self) -> Health:
        health = super().health()
        publishing = self.publisher.worker.failures
        if publishing.is_failing:
            return replace(health, connected=False, last_error=publishing.last_error)
        return health

    def listen(self) -> None:
        with closing(redis_clients.connect(TIMEOUTS)) as client:
            self._listen_to(redis_clients.of_any_node(client))

    def _listen_to(self, node: Any) -> None:
        with node.pubsub() as pubsub, self.interruptible(partial(redis_clients.disconnect, node)):
            pubsub.subscribe(compat.REDIS_CHANNEL)
            pinged_at: float | None = None
            while not self.worker.is_ending:
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

    def _publish(self, state: EnvironmentState) -> None:
        if not self._has_client:
            # One retry is needed: if Redis has closed an idle connection, its next use fails.
            compat.use_redis_client(redis_clients.connect(TIMEOUTS, retries=1))
            self._has_client = True
        eventstream.publish_in_redis(state)

    def _handle(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self.connected()
        elif message["type"] == "message":
            self.receive(message["data"])
