"""Stream of one client: sends the frames of an environment's topic, keep-alives and comments, and ends cleanly.

With ``manage.py serve`` a stream is an object without a task of its own, because it writes to the server's transport.

A client always gets a 200 response that ends cleanly. After any other status, one of seven SDKs stops for good and two
retry without a pause; one never reconnects after a broken connection (docs/wire-protocol.md).
"""

import random
import time
from dataclasses import dataclass

import structlog

from realtime import hosts
from realtime.conf import conf
from realtime.delivery import connections, hub, limits, sse
from realtime.delivery.sinks import Piece, Sink, piece
from realtime.delivery.timers import NO_SLOT
from realtime.monitoring import metrics
from realtime.types import EnvironmentKey, EnvironmentState

logger = structlog.get_logger(__name__)

OPENING = piece(sse.PADDING + sse.comment("Flagsmith real-time updates"))
RETRY_OPENING = piece(sse.RETRY + OPENING.body)
"""For clients that obey ``retry``, as EventSource does on all platforms."""
KEEPALIVE = piece(sse.KEEPALIVE)
STATE_UNAVAILABLE = piece(sse.comment("the state cannot be read at the moment; it follows as soon as it can"))
UNKNOWN_KEY = piece(sse.comment("no environment has this key; nothing will be sent"))
NOTHING_POSTED = piece(sse.comment("nothing has been posted for this key yet; what is posted will be sent"))
STREAMING_DISABLED = piece(sse.comment("real-time updates are off for this project (enable_realtime_updates)"))

# A stream's age and its keep-alive interval are random: between this fraction of the setting and the setting.
MIN_FRACTION = 0.8


def reason_without_event(state: EnvironmentState | None) -> Piece | None:
    """The comment for a new stream that gets no event in this state; None if it gets one."""
    if state is None:
        return UNKNOWN_KEY if hosts.current().lists_environments else NOTHING_POSTED
    return None if state.streaming_enabled else STREAMING_DISABLED


@dataclass(frozen=True, slots=True)
class ClientKind:
    """Clients that need different streams, recognized by the beginning of their ``User-Agent``."""

    agent: bytes
    """The beginning of the ``User-Agent``, in lower case."""
    opening: Piece = OPENING
    is_short: bool = False
    """The streams end after ``conf.SHORT_STREAM_SECONDS``."""
    min_fraction: float = MIN_FRACTION
    """The shortest age of a stream, as a fraction of the longest."""
    is_long_poll: bool = False
    """The client reads a response only after its end, so a stream ends with the first newer event."""


CLIENT_KINDS = (
    # Browsers only: React Native also obeys ``retry``, and Flutter opens a connection for each unknown field.
    ClientKind(b"mozilla/", opening=RETRY_OPENING),
    # Flutter opens a stream every 29 s, and not when one ends. If streams were shorter, it would have none in between.
    ClientKind(b"dart/", is_short=True, min_fraction=1.0),
    # The Ruby SDK.
    ClientKind(b"faraday", is_short=True, is_long_poll=True),
)
OTHER_CLIENT = ClientKind(b"")
EVENT_SOURCE = ClientKind(b"", opening=RETRY_OPENING)


class Stream:
    """One client's stream, with a mailbox for one piece: the latest that the sink could not write yet.

    The hub, the timers and the sink call its methods, which must not block or raise.
    """

    is_application = True
    """False for a window of the dashboard: it also gets the versions that are raised while the gate is closed, and is
    not counted as a stream of the environment."""

    __slots__ = (
        "_address",
        "_clock",
        "_ending",
        "_initial_frame",
        "_initialized",
        "_kind",
        "_pending",
        "_sink",
        "_topic",
        "_written",
        "_wrote_at",
        "ends_at",
        "slot",
        "subscribed_at",
    )

    def __init__(self, sink: Sink, kind: ClientKind = OTHER_CLIENT) -> None:
        self.slot = NO_SLOT
        self._sink = sink
        self._kind = kind
        self._topic: hub.Topic | limits.RejectedStreams | None = None
        self._address: str | None = None
        self._initialized = False
        self._ending = False
        self._pending: Piece | None = None
        self._written: Piece | None = None
        self._initial_frame: Piece | None = None

    def open(self, key: EnvironmentKey, address: str | None = None) -> None:
        """Send the headers and subscribe.

        ``address``: the client's address, if streams are counted by address.
        """
        streams = hub.current()
        self._clock = streams.loop.time
        self.subscribed_at = self._wrote_at = self._clock()
        kind = self._kind
        # A random age, so that streams that were opened at the same time do not all end at the same time.
        self.ends_at = self.subscribed_at + self._max_age() * _random_fraction(kind.min_fraction)
        self._sink.open(self, kind.opening, closing=streams.draining)
        limit = streams.limits.check(address, streams.stream_count(key) if self.is_application else 0)
        topic: hub.Topic | limits.RejectedStreams
        if limit is None:
            topic = streams.subscribe(key, self)
            self._address = address
            streams.limits.admit(address)
        else:
            self._sink.write(limits.REASONS[limit])
            if streams.rejected.is_full:
                self._sink.end()
                return
            self.ends_at = self.subscribed_at + conf.SHORT_STREAM_SECONDS * limits.rejected_stream_age(limit)
            self._initialized = True
            topic = streams.reject(self)
        self._topic = topic
        # Subscribe before reading the state, so that no event between the two is missed.
        topic.request_state(self)
        self._schedule()

    def deliver(self, frame: Piece) -> bool:
        """Send the latest frame, in place of one not yet written. Returns True if it was written immediately."""
        # Before the first state is read the gate may be closed. ``initialize`` then sends the newest frame.
        if self._initialized and not self._ending:
            if self._sink.ready:
                self._write(frame)
                return True
            self._store(frame)
        return False

    def initialize(self, state: EnvironmentState | None, frame: Piece | None) -> None:
        """Handle the state that ``Topic.request_state`` has requested; None if no environment has this key.

        Sends the newest event, or a comment with the reason why there is none. ``frame``: the topic's current frame.
        """
        if self._initialized or self._ending:
            return
        self._initialized = True
        if state is not None and self.is_application:
            connections.opened.send_robust(sender=Stream, key=state.key)
        initial = self._initial_piece(state, frame)
        if initial.updated_at is not None:
            self._initial_frame = initial
        self._write_or_store(initial)
        self._schedule()

    def state_unavailable(self) -> None:
        """Send a comment: the state could not be read. ``due`` requests it again."""
        if not self._initialized and not self._ending and self._written is None:
            self._write_or_store(STATE_UNAVAILABLE)

    def end_by(self, when: float) -> None:
        """End the stream at this time of the loop at the latest."""
        if when < self.ends_at and not self._ending:
            self.ends_at = when
            self._schedule()

    def end(self) -> None:
        """End the stream now. The pending piece is written first."""
        if self._topic is None or self._ending:
            return
        self._ending = True
        self._topic.unsubscribe(self)
        if (pending := self._take_pending()) is not None:
            self._sink.write(pending)
        self._sink.end()
        self._schedule()

    def due(self, now: float) -> None:
        """End the stream, send a keep-alive, request the state again, or abort a client that does not read."""
        try:
            self._due(now)
        except Exception:
            self.fail()

    def fail(self) -> None:
        """Log the current exception and end this stream, cleanly if possible."""
        logger.exception("stream_failed", environment=self._topic.key if self._topic is not None else None)
        try:
            self.end()
        except Exception:
            self._sink.abort()

    def _due(self, now: float) -> None:
        if self._topic is None:
            return
        if self._ending:
            # Logged at debug level and counted, because very many clients may stall at once.
            logger.debug("stalled_client_given_up", environment=self._topic.key)
            metrics.streams_stalled.add()
            self._sink.abort()
            return
        if now >= self.ends_at:
            self.end()
            return
        if not self._initialized:
            self.state_unavailable()
            self._topic.request_state(self)
        if now >= self._wrote_at + MIN_FRACTION * conf.KEEPALIVE_SECONDS and self._sink.ready:
            self._write(KEEPALIVE)
        self._schedule()

    def drained(self) -> None:
        """Called when everything is written and the sink is ready again."""
        pending, topic = self._take_pending(), self._topic
        if pending is None or topic is None or self._ending:
            return
        is_counted = self.is_application and pending is not self._initial_frame and pending is not self._written
        if is_counted and pending.updated_at is not None:
            metrics.count_delivered(pending.updated_at, 1)
            topic.hub.observer.delivered(topic.key, pending.updated_at, 1, time.time())
        self._write(pending)

    def connection_lost(self) -> None:
        """Called when the client has disconnected, or when everything has been written after ``Sink.end``."""
        if self._topic is not None:
            self._topic.hub.remove(self._topic, self, self._address)
            self._topic = None

    def _max_age(self) -> float:
        """The age at which the stream ends, in seconds."""
        return conf.SHORT_STREAM_SECONDS if self._kind.is_short else conf.STREAM_SECONDS

    def _initial_piece(self, state: EnvironmentState | None, frame: Piece | None) -> Piece:
        """The event on connect, or the comment with the reason why there is none."""
        return reason_without_event(state) or frame or STREAMING_DISABLED

    def _take_pending(self) -> Piece | None:
        """Empty the mailbox and return its piece. An event is dropped if the gate was closed meanwhile."""
        pending, self._pending = self._pending, None
        if pending is None or pending.updated_at is None:
            return pending
        is_closed = self._topic is not None and self._topic.is_closed
        return None if is_closed and self.is_application else pending

    def _write_or_store(self, piece: Piece) -> None:
        if self._sink.ready:
            self._write(piece)
        else:
            self._store(piece)

    def _store(self, piece: Piece) -> None:
        """Put a piece into the mailbox, in place of the one in it."""
        pending, self._pending = self._pending, piece
        if pending is None or pending.updated_at is None or pending is piece or self._topic is None:
            return
        if self.is_application:
            metrics.superseded.add()
            self._topic.hub.observer.superseded(self._topic.key, pending.updated_at)

    def _write(self, piece: Piece) -> None:
        self._wrote_at = self._clock()
        self._sink.write(piece)
        if piece is not KEEPALIVE:
            self._written = piece
        if self._kind.is_long_poll and self._is_newer(piece):
            self.end()

    def _is_newer(self, piece: Piece) -> bool:
        if piece.updated_at is None:
            return False
        initial = self._initial_frame.updated_at if self._initial_frame is not None else None
        return initial is None or piece.updated_at > initial

    @property
    def _next_deadline(self) -> float:
        """The time of the loop at which ``due`` has to be called, apart from keep-alives."""
        return self.ends_at

    def _schedule(self) -> None:
        if self._topic is None:
            return
        if self._ending:
            # The time that a client that does not read has for reading the end of its stream.
            when = self._clock() + conf.SHORT_STREAM_SECONDS
        elif not self._initialized:
            when = min(self._next_deadline, self._clock() + conf.RECONCILE_SECONDS)
        else:
            # If the client does not read, its last write may be long ago: check again after a full interval.
            since = self._wrote_at if self._sink.ready else self._clock()
            when = min(self._next_deadline, since + conf.KEEPALIVE_SECONDS * _random_fraction())
        self._topic.hub.timers.schedule(self, when)


def _random_fraction(min_fraction: float = MIN_FRACTION) -> float:
    """A random fraction between ``min_fraction`` and 1, so that deadlines of many streams do not coincide."""
    return random.uniform(min_fraction, 1.0)  # noqa: S311
