"""Stream of one OpenFeature provider: the events of a topic in OFREP's format (docs/ofrep.md).

The rules of ``Stream`` apply, except for those of events: these have an identifier, and the event name "message".
"""

from functools import lru_cache

from realtime.conf import conf
from realtime.delivery import sse
from realtime.delivery.sinks import Piece, Sink, piece
from realtime.delivery.stream import OPENING, ClientKind, Stream
from realtime.ofrep.events import refetch_event, version_of
from realtime.types import EnvironmentState, UpdatedAt

# EventSource clients of all platforms obey ``retry``.
KIND = ClientKind(b"", opening=piece(sse.RETRY + OPENING.body))

NOTHING_NEWER = piece(sse.comment("nothing is newer than Last-Event-ID"))

# The versions whose events are kept encoded: those of the topics that have events at the same time.
MAX_ENCODED = 1_024


class OFREPStream(Stream):
    """One provider's stream.

    The provider evaluates all flags for each event, also for the one on connect: it may have evaluated before the
    newest change. When it connects again, it sends the identifier of its last event, and gets a newer one only.
    """

    __slots__ = ("_last_version",)

    def __init__(self, sink: Sink, last_event_id: str) -> None:
        super().__init__(sink, KIND)
        self._last_version = version_of(last_event_id)

    def deliver(self, frame: Piece) -> bool:
        return super().deliver(_converted(frame))

    def deliver_initial(self, state: EnvironmentState | None, frame: Piece | None) -> None:
        super().deliver_initial(state, None if frame is None else _converted(frame))

    def _write_initial(self, frame: Piece) -> None:
        assert frame.updated_at is not None
        if frame.updated_at > self._last_version:
            super()._write_initial(frame)
        else:
            self._write_or_store(NOTHING_NEWER)

    def _max_age(self) -> float:
        """Long, because the provider reports its flags as stale at each end of a stream."""
        return conf.OFREP_STREAM_SECONDS


def _converted(frame: Piece) -> Piece:
    """The event of a topic's frame."""
    assert frame.updated_at is not None
    return _event(frame.updated_at)


@lru_cache(maxsize=MAX_ENCODED)
def _event(updated_at: UpdatedAt) -> Piece:
    """The event, encoded once for all streams of the process."""
    return piece(refetch_event(updated_at), updated_at)
