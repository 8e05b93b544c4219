"""The PostgreSQL bus (LISTEN/NOTIFY). PostgreSQL delivers an event when the transaction of the change commits."""

from collections.abc import Sequence
from dataclasses import replace

import structlog
from django.db import connections

from realtime import hosts
from realtime.bus import eventstream, listening
from realtime.bus.spec import Health
from realtime.bus.supervised import SupervisedBus
from realtime.types import EnvironmentState

logger = structlog.get_logger(__name__)

# One channel for all environments: LISTEN for each streamed environment would cost a transaction each.
CHANNEL = "realtime"

NOTIFY = "SELECT pg_notify(%s, payload) FROM unnest(%s::text[]) AS payload"

# The query sent about once a second, which also checks the connection. PostgreSQL keeps notifications in a queue until
# all listeners of the cluster have read them. If the queue is full, every transaction that notifies fails at its
# commit. So this bus stops notifying above ``MAX_QUEUE_USAGE``.
PING = b"SELECT pg_notification_queue_usage()"
MAX_QUEUE_USAGE = 0.5


class PostgresBus(SupervisedBus):
    """For installations on PostgreSQL. It needs no other service."""

    name = "postgres"
    _queue_is_full = False

    def write(self, states: Sequence[EnvironmentState], using: str) -> None:
        # A key that is too long for a notification would make the change fail. No client can request such a key.
        states = [state for state in states if hosts.is_valid_key(state.key)]
        connection = connections[using]
        if not states or self._queue_is_full or connection.vendor != "postgresql":
            return
        with connection.cursor() as cursor:
            cursor.execute(NOTIFY, [CHANNEL, [eventstream.encode(state) for state in states]])

    def listen(self) -> None:
        self._queue_is_full = False
        with listening.connect("realtime-bus") as connection, self.interruptible(connection.interrupt):
            connection.send_query(f"LISTEN {CHANNEL}".encode())
            listens = False
            while not self.worker.is_ending:
                self.beat()
                answer = connection.wait(PING)
                for payload in connection.notifications():
                    self.receive(payload)
                if answer is not None and not listens:
                    listens = True
                    self.connected()
                elif answer is not None:
                    self._watch_queue(float(answer))

    def health(self) -> Health:
        health = super().health()
        if self._queue_is_full:
            return replace(health, connected=False, last_error="the notification queue is more than half full")
        return health

    def _watch_queue(self, usage: float) -> None:
        """Stop notifying while the queue is nearly full, because a full queue makes changes fail."""
        if self._queue_is_full != (usage > MAX_QUEUE_USAGE):
            self._queue_is_full = usage > MAX_QUEUE_USAGE
            logger.warning("bus_queue", bus=self.name, usage=usage, notifies=not self._queue_is_full)
