"""Journal: the observer of a hub that collects deliveries for the inspector, per event and not per stream.

Commits are collected in the threads in which they happen. About once a second both are handed over to a thread that
writes them (``writer.py``).
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from realtime import hosts
from realtime.conf import conf
from realtime.delivery.observers import Observer
from realtime.inspector.pending_rows import Observations, OpenStreams
from realtime.inspector.writer import Writer
from realtime.types import EnvironmentKey, EnvironmentState, UpdatedAt

if TYPE_CHECKING:
    from realtime.delivery.hub import Hub


class Commit(NamedTuple):
    key: EnvironmentKey
    updated_at: UpdatedAt
    at: float
    """Seconds since the epoch."""


class Commits:
    """The newest commits of this process, collected while it has a journal. Thread-safe."""

    MAX_COMMITS = 10_000

    def __init__(self) -> None:
        self.journals = 0
        """The number of open journals."""
        self._commits: deque[Commit] = deque(maxlen=self.MAX_COMMITS)

    def receive(self, states: Iterable[EnvironmentState], **kwargs: Any) -> None:
        """Receiver of the signal ``realtime.changes.versions.committed``."""
        if self.journals:
            now = time.time()
            self._commits.extend(
                [Commit(state.key, state.updated_at, now) for state in states if state.streaming_enabled]
            )

    def take(self) -> list[Commit]:
        """Return and remove all commits."""
        return [self._commits.popleft() for _ in range(len(self._commits))]


commits = Commits()


class Journal(Observer):
    """The journal of one hub."""

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self._observations = Observations()
        self._changed: set[EnvironmentKey] = set()
        """Environments whose number of streams may have changed."""
        self._writer = Writer()
        commits.journals += 1
        hub.pulse.call_every_second(self._hand_over)

    def stream_count_changed(self, key: EnvironmentKey) -> None:
        # A client may ask for a stream of any key, also of one that no column can store.
        if hosts.is_valid_key(key):
            self._changed.add(key)

    def delivered(self, key: EnvironmentKey, updated_at: UpdatedAt, streams: int, began: float) -> None:
        if not streams:
            return
        observation = self._observations.of(key, updated_at)
        version = updated_at.timestamp()
        observation.times.add_range((began - version) * 1_000, (time.time() - version) * 1_000, streams)
        observation.written += streams
        if observation.written_at is None:
            observation.written_at = began

    def superseded(self, key: EnvironmentKey, updated_at: UpdatedAt, streams: int = 1) -> None:
        if streams:
            self._observations.of(key, updated_at).superseded += streams

    def healed(self, key: EnvironmentKey, updated_at: UpdatedAt) -> None:
        self._observations.of(key, updated_at).healed = True

    async def close(self) -> None:
        self._hand_over()
        commits.journals -= 1
        await asyncio.to_thread(self._writer.stop)

    def _hand_over(self) -> None:
        """Pass the observations to the writer's thread. Called about once a second."""
        observations, self._observations = self._observations, Observations()
        for commit in commits.take():
            observations.of(commit.key, commit.updated_at).committed_at = commit.at
        observations.streams = {
            key: OpenStreams(self._hub.stream_count(key), self._hub.window_count(key)) for key in self._changed
        }
        self._changed.clear()
        if observations:
            self._writer.put(observations)


def of(hub: "Hub") -> Observer:
    """Make the observer of a new hub: a journal, unless ``REALTIME_INSPECTION`` is off."""
    return Journal(hub) if conf.INSPECTS else Observer()
