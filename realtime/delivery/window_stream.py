"""Stream of one window of a dashboard: versions of an environment, also of those raised while the gate is closed.

The caller has authenticated the user. The window is no application: no figure of the environment includes it, and it
counts only for the limit of the process. Before the stream ends by its age, the window is asked to open the next one.
"""

from realtime.conf import conf
from realtime.delivery import sse
from realtime.delivery.sinks import Piece, Sink, piece
from realtime.delivery.stream import EVENT_SOURCE, MIN_FRACTION, UNKNOWN_KEY, Stream
from realtime.types import EnvironmentState

# Asks the window to open its next stream. It closes this one when the next one is open.
REOPEN = piece(b"event: reopen\ndata: {}\n\n")

# The time before the end at which ``REOPEN`` is sent: at most this, and at most half of the shortest age.
OVERLAP_SECONDS = 10.0


class WindowStream(Stream):
    """One window's stream."""

    is_application = False

    __slots__ = ("_asked_to_reopen",)

    def __init__(self, sink: Sink) -> None:
        super().__init__(sink, EVENT_SOURCE)
        self._asked_to_reopen = False

    def _initial_piece(self, state: EnvironmentState | None, frame: Piece | None) -> Piece:
        """The environment's version: the page may be older. ``frame`` is not used, because it may be gated."""
        return UNKNOWN_KEY if state is None else piece(sse.frame(state.updated_at), state.updated_at)

    def _due(self, now: float) -> None:
        if not self._asked_to_reopen and not self._ending and self._next_deadline <= now < self.ends_at:
            self._asked_to_reopen = True
            self._write_or_store(REOPEN)
        super()._due(now)

    @property
    def _next_deadline(self) -> float:
        if self._asked_to_reopen:
            return self.ends_at
        return self.ends_at - min(OVERLAP_SECONDS, conf.STREAM_SECONDS * MIN_FRACTION / 2)
