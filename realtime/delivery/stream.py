"""Stream of one client: an object without a task of its own where the server lends its transport.

Whatever happens, a client gets 200 and a clean end. Of seven SDKs one stops for good after any other status, two hammer
the server, and one never comes back after a connection that breaks (docs/wire-protocol.md).
"""

import random
import time
from dataclasses import dataclass

import structlog

from realtime.conf import conf
from realtime.delivery import connections, hub, limits, sse
from realtime.delivery.sinks import Piece, Sink, piece
from realtime.delivery.timers import NONE
from realtime.monitoring import metrics
from realtime.types import EnvironmentKey, EnvironmentState

logger = structlog.get_logger(__name__)

OPENING = piece(sse.PADDING + sse.comment("Flagsmith real-time updates"))
KEEPALIVE = piece(sse.KEEPALIVE)
UNREADABLE = piece(sse.comment("the state cannot be read at the moment; it follows as soon as it can"))
UNKNOWN = piece(sse.comment("no environment has this key; nothing will be sent"))
UNPOSTED = piece(sse.comment("nothing has been posted for this key yet; what is posted will be sent"))
OFF = piece(sse.comment("real-time updates are off for this project (enable_realtime_updates)"))

# Ages and silences are a random fifth shorter than their settings.
LEAST = 0.8


@dataclass(frozen=True, slots=True)
class ClientKind:
    """Clients whose streams differ from those of others, recognized by how their ``User-Agent`` begins."""

    agent: bytes
    """In lower case."""
    opening: Piece = OPENING
    is_short: bool = False
    """Its streams end after ``conf.SHORT_STREAM_SECONDS``."""
    least: float = LEAST
    """Of an age, the part that a stream lives at least."""
    is_long_poll: bool = False
    """It reads a response only once that has ended, so a stream ends with the first event that is news to it."""


KINDS = (
    # Nobody else gets a ``retry``: React Native would obey it, and Flutter opens a connection for each unknown field.
    ClientKind(b"mozilla/", opening=piece(sse.RETRY + OPENING.body)),
    # Flutter opens one every 29 s, by its own clock and not when one ends: less than 30 s would leave it without one.
    ClientKind(b"dart/", is_short=True, least=1.0),
    # Ruby.
    ClientKind(b"faraday", is_short=True, is_long_poll=True),
)
OTHER = ClientKind(b"")


class Stream:
    """One client's stream, and its mailbox of one place in which the latest piece waits to be written."""

    __slots__ = (
        "_address",
        "_clock",
        "_connected",
        "_ending",
        "_kind",
        "_served",
        "_sink",
        "_topic",
        "_waiting",
        "_written",
        "_wrote_at",
        "ends_at",
        "slot",
        "subscribed_at",
    )

    def __init__(self, sink: Sink, kind: ClientKind = OTHER) -> None:
        self.slot = NONE
        self._sink = sink
        self._kind = kind
        self._topic: hub.Topic | limits.Rejected | None = None
        self._address: str | None = None
        self._served = False
        self._ending = False
        self._waiting: Piece | None = None
        self._written: Piece | None = None
        self._connected: Piece | None = None

    def open(self, key: EnvironmentKey, address: str | None = None) -> None:
        """Everything from the headers on. The rest follows from what the hub, the timers and the sink call.

        ``address``: the client's, where streams are counted by it.
        """
        streams = hub.current()
        self._clock = streams.loop.time
        self.subscribed_at = self._wrote_at = self._clock()
        kind = self._kind
        age = conf.SHORT_STREAM_SECONDS if kind.is_short else conf.STREAM_SECONDS
        # A random fifth less, so that streams opened by one herd do not end as one.
        self.ends_at = self.subscribed_at + age * _some(kind.least)
        self._sink.open(self, kind.opening, closing=streams.draining)
        met = streams.limits.met(address, streams.audience(key))
        topic: hub.Topic | limits.Rejected
        if met is None:
            topic = streams.join(key, self)
            self._address = address
            streams.limits.admit(address)
        else:
            self._sink.write(limits.REASONS[met])
            if streams.rejected.is_full:
                self._sink.end()
                return
            self.ends_at = self.subscribed_at + conf.SHORT_STREAM_SECONDS * limits.age(met)
            self._served = True
            topic = streams.reject(self)
        self._topic = topic
        # Subscribed first, read then: nothing can fall between the two.
        topic.ask_for(self)
        self._plan()

    def deliver(self, frame: Piece) -> bool:
        """Take the latest frame, in place of one that still waits. Returns True if it was written at once."""
        # Until the first state has been read nobody knows whether the gate is open. Then the newest frame follows.
        if self._served and not self._ending:
            if self._sink.ready:
                self._write(frame)
                return True
            self._keep(frame)
        return False

    def welcome(self, state: EnvironmentState | None, frame: Piece | None) -> None:
        """Take what was read for this stream: the newest event, or a comment that says why there is none."""
        if self._served or self._ending:
            return
        self._served = True
        if state is not None:
            connections.opened.send_robust(sender=Stream, key=state.key)
        if state is None:
            # A detached server knows of environments by what is posted to it, and of this one so far nothing.
            self._put(UNPOSTED if conf.HOST == "detached" else UNKNOWN)
        elif not state.streaming_enabled or frame is None:
            self._put(OFF)
        else:
            self._connected = frame
            self._put(frame)
        self._plan()

    def unreadable(self) -> None:
        """The database cannot say the state; ``due`` asks again."""
        if not self._served and not self._ending and self._written is None:
            self._put(UNREADABLE)

    def end_by(self, when: float) -> None:
        """End the stream at this time of the loop at the latest."""
        if when < self.ends_at and not self._ending:
            self.ends_at = when
            self._plan()

    def end(self) -> None:
        """End the stream now, with what waits for its client."""
        if self._topic is None or self._ending:
            return
        self._ending = True
        self._topic.leave(self)
        if (waiting := self._take_waiting()) is not None:
            self._sink.write(waiting)
        self._sink.end()
        self._plan()

    def due(self, now: float) -> None:
        """What has come: the end, a keep-alive, another try to read the state, or the end of all patience."""
        try:
            self._due(now)
        except Exception:
            self.fail()

    def fail(self) -> None:
        """Something of ours raises for this client: let it go, cleanly if that can be. The others do not notice."""
        logger.exception("stream_failed", environment=self._topic.key if self._topic is not None else None)
        try:
            self.end()
        except Exception:
            self._sink.abort()

    def _due(self, now: float) -> None:
        if self._topic is None:
            return
        if self._ending:
            # Of very many that are cut off at once each would be a line; they are counted.
            logger.debug("stalled_client_given_up", environment=self._topic.key)
            metrics.streams_stalled.add()
            self._sink.abort()
            return
        if now >= self.ends_at:
            self.end()
            return
        if not self._served:
            self.unreadable()
            self._topic.ask_for(self)
        if now >= self._wrote_at + LEAST * conf.KEEPALIVE_SECONDS and self._sink.ready:
            self._write(KEEPALIVE)
        self._plan()

    def drained(self) -> None:
        waiting, topic = self._take_waiting(), self._topic
        if waiting is None or topic is None or self._ending:
            return
        if waiting.updated_at is not None and waiting is not self._connected and waiting is not self._written:
            metrics.told(waiting.updated_at, 1)
            topic.hub.observer.delivered(topic.key, waiting.updated_at, 1, time.time())
        self._write(waiting)

    def lost(self) -> None:
        if self._topic is not None:
            self._topic.hub.remove(self._topic, self, self._address)
            self._topic = None

    def _take_waiting(self) -> Piece | None:
        """Empty the mailbox. An event that waits in it is dropped if the gate has been closed since."""
        waiting, self._waiting = self._waiting, None
        if waiting is None or waiting.updated_at is None:
            return waiting
        return None if self._topic is not None and self._topic.is_closed else waiting

    def _put(self, piece: Piece) -> None:
        if self._sink.ready:
            self._write(piece)
        else:
            self._keep(piece)

    def _keep(self, piece: Piece) -> None:
        """Let it wait, in place of what waits already."""
        waiting, self._waiting = self._waiting, piece
        if waiting is None or waiting.updated_at is None or waiting is piece or self._topic is None:
            return
        metrics.superseded.add()
        self._topic.hub.observer.superseded(self._topic.key, waiting.updated_at)

    def _write(self, piece: Piece) -> None:
        self._wrote_at = self._clock()
        self._sink.write(piece)
        if piece is not KEEPALIVE:
            self._written = piece
        if self._kind.is_long_poll and self._is_news(piece):
            self.end()

    def _is_news(self, piece: Piece) -> bool:
        if piece.updated_at is None:
            return False
        connected = self._connected.updated_at if self._connected is not None else None
        return connected is None or piece.updated_at > connected

    def _plan(self) -> None:
        if self._topic is None:
            return
        if self._ending:
            # A client that reads nothing holds up its own end, past its age.
            when = self._clock() + conf.SHORT_STREAM_SECONDS
        elif not self._served:
            when = min(self.ends_at, self._clock() + conf.RECONCILE_SECONDS)
        else:
            # A client that takes nothing got its last piece any time ago; it is looked at no more often for that.
            since = self._wrote_at if self._sink.ready else self._clock()
            when = min(self.ends_at, since + conf.KEEPALIVE_SECONDS * _some())
        self._topic.hub.timers.put(self, when)


def _some(least: float = LEAST) -> float:
    """Between ``least`` and 1: what many begin as one does not come round as one."""
    return random.uniform(least, 1.0)  # noqa: S311
