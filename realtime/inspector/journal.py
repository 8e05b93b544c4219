"""Journal: the observer of a hub that collects deliveries for the inspector, per event and not per stream.

Commits are collected in the threads in which they happen. About once a second both are handed over to a thread that
writes them (``writer.py``).
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from realtime import hosts, inspector
from realtime.changes import versions
from realtime.delivery.observers import Observer
from realtime.inspector.pending_rows import Observations, OpenStreams, PendingRows
from realtime.inspector.writer import Writer
from realtime.types import EnvironmentKey, EnvironmentState, UpdatedAt

if TYPE_CHECKING:
    from realtime.delivery.hub import Hub

# The newest commits that are kept until the next hand-over.
MAX_COMMITS = 10_000


class Journal(Observer):
    """The journal of one hub."""

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self._observations = Observations()
        self._changed: set[EnvironmentKey] = set()
        """Environments whose number of streams may have changed."""
        self._commits: deque[tuple[EnvironmentState, datetime]] = deque(maxlen=MAX_COMMITS)
        """Committed states of this process, with the times of their commits."""
        self._writer = Writer(PendingRows())
        self._writer.worker.start()
        versions.committed.connect(self._committed)
        hub.pulse.call_every_second(self._hand_over)

    def stream_count_changed(self, key: EnvironmentKey) -> None:
        # A client may ask for a stream of any key, also of one that no column can store.
        if hosts.is_valid_key(key):
            self._changed.add(key)

    def delivered(self, key: EnvironmentKey, updated_at: UpdatedAt, streams: int, began: float) -> None:
        if not streams:
            return
        event = self._observations.of(key, updated_at)
        version = updated_at.timestamp()
        event.times.add_range((began - version) * 1_000, (time.time() - version) * 1_000, streams)
        event.written += streams
        if event.written_at is None:
            event.written_at = datetime.fromtimestamp(began, UTC)

    def superseded(self, key: EnvironmentKey, updated_at: UpdatedAt, streams: int = 1) -> None:
        if streams:
            self._observations.of(key, updated_at).superseded += streams

    def healed(self, key: EnvironmentKey, updated_at: UpdatedAt) -> None:
        self._observations.of(key, updated_at).healed = True

    async def close(self) -> None:
        versions.committed.disconnect(self._committed)
        self._hand_over()
        await asyncio.to_thread(self._writer.worker.stop)

    def _committed(self, states: Iterable[EnvironmentState], **kwargs: Any) -> None:
        """Receiver of the signal ``committed``, in any thread."""
        now = timezone.now()
        self._commits.extend([(state, now) for state in states if state.streaming_enabled])

    def _hand_over(self) -> None:
        """Pass the observations to the writer's thread. Called about once a second."""
        observations, self._observations = self._observations, Observations()
        for _ in range(len(self._commits)):
            state, at = self._commits.popleft()
            observations.of(state.key, state.updated_at).committed_at = at
        observations.streams = {
            key: OpenStreams(self._hub.stream_count(key), self._hub.window_count(key)) for key in self._changed
        }
        self._changed.clear()
        if observations.events or observations.streams:
            self._writer.put(observations)


def of(hub: "Hub") -> Observer:
    """Make the observer of a new hub: a journal, unless ``REALTIME_INSPECTION`` is off."""
    return Journal(hub) if inspector.is_recording() else Observer()
