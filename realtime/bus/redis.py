"""Redis, by django-eventstream's own setting and messages (``EVENTSTREAM_REDIS``)."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from django.conf import settings
from django_eventstream import eventstream, send_event
from django_eventstream.views import get_listener_manager

from realtime.bus import messages
from realtime.bus.outgoing import Outgoing
from realtime.bus.spec import Health
from realtime.bus.supervised import ANSWER_SECONDS, SILENCE_SECONDS, SupervisedBus
from realtime.events import event
from realtime.types import EnvironmentState

SETTING = "EVENTSTREAM_REDIS"

# Redis's name for the channel of all of django-eventstream's channels.
CHANNEL = "events_channel"

# How long Redis may take where the setting does not say it. Nobody but our threads waits for it.
PATIENCE = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}


class RedisBus(SupervisedBus):
    """For several processes that do not share a PostgreSQL, or ask more of it than NOTIFY gives.

    django-eventstream publishes in the request, which waits while Redis is paused and fails while it is away; here a
    thread does. Its listener ends for ever with its first connection; this one takes its place, also for channels that
    are not ours.
    """

    name = "redis"

    def __init__(self, on_connect: Callable[[], None]) -> None:
        super().__init__(on_connect)
        self.outgoing = Outgoing("realtime-bus-redis-publisher", _publish)
        _be_impatient(eventstream.redis_client)

    def send(self, states: Sequence[EnvironmentState]) -> None:
        self.outgoing.put(states)

    def start(self) -> None:
        get_listener_manager().redis_listener = None
        super().start()

    def health(self) -> Health:
        health = super().health()
        if self.outgoing.failing:
            return replace(health, connected=False, last_error=self.outgoing.last_error)
        return health

    def listen(self, ended: threading.Event) -> None:
        with _client() as client, client.pubsub() as pubsub, self.interruptible(partial(_disconnect, client)):
            pubsub.subscribe(CHANNEL)
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


def _publish(state: EnvironmentState) -> None:
    announced = event(state)
    if state.live:
        send_event(announced.channel, announced.type, announced.data, json_encode=False)
    else:
        # Not by ``send_event``, which also publishes to proxies, from which clients would receive it.
        eventstream.redis_client.publish(CHANNEL, messages.encode(announced))


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


def _be_impatient(client: Any) -> None:
    """Let django-eventstream's client connect anew once, at once, and then give up.

    As it comes it tries again for several seconds, in which newer events wait. A connection that Redis has closed while
    nobody used it shows only at the next use, so the second try is needed.
    """
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    client.set_retry(Retry(NoBackoff(), 1))
    missing = {name: value for name, value in PATIENCE.items() if name not in _options()}
    client.get_connection_kwargs().update(missing)
