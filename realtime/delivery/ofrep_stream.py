"""Stream of one OpenFeature provider: the events of a topic in OFREP's format (docs/ofrep.md).

The rules of ``Stream`` apply, except for those of events: these have an identifier, and the event name "message".
"""

from functools import lru_cache

from realtime.conf import conf
from realtime.delivery import sse
from realtime.delivery.sinks import Piece, Sink, piece
from realtime.delivery.stream import EVENT_SOURCE, Stream
from realtime.ofrep.events import refetch_event, version_of
from realtime.types import EnvironmentState, UpdatedAt

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
        super().__init__(sink, EVENT_SOURCE)
        self._last_version = version_of(last_event_id)

    def deliver(self, frame: Piece) -> bool:
        assert frame.updated_at is not None
        return super().deliver(_event(frame.updated_at))

    def _initial_piece(self, state: EnvironmentState | None, frame: Piece | None) -> Piece:
        initial = super()._initial_piece(state, frame)
        if initial.updated_at is None:
            return initial
        return _event(initial.updated_at) if initial.updated_at > self._last_version else NOTHING_NEWER

    def _max_age(self) -> float:
        """Long, because the provider reports its flags as stale at each end of a stream."""
        return conf.OFREP_STREAM_SECONDS


@lru_cache(maxsize=MAX_ENCODED)
def _event(updated_at: UpdatedAt) -> Piece:
    """The event, encoded once for all streams of the process."""
    return piece(refetch_event(updated_at), updated_at)
