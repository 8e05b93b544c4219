"""Journal of a hub: notes deliveries in the event loop, once for an event and not for each stream.

Commits are noted in the threads that make them. About once a second the notes go to a thread that writes them
(``writer.py``).
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from realtime.conf import conf
from realtime.delivery.observers import Observer
from realtime.inspector.ledger import Notes
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
    """The newest commits, while somebody takes them. Safe in any thread."""

    MOST = 10_000

    def __init__(self) -> None:
        self.takers = 0
        """How many journals there are in this process."""
        self._commits: deque[Commit] = deque(maxlen=self.MOST)

    def receive(self, states: Iterable[EnvironmentState], **kwargs: Any) -> None:
        """The receiver of ``realtime.changes.versions.committed``."""
        if self.takers:
            now = time.time()
            self._commits.extend(
                [Commit(state.key, state.updated_at, now) for state in states if state.streaming_enabled]
            )

    def take(self) -> list[Commit]:
        """What was noted since the last time."""
        return [self._commits.popleft() for _ in range(len(self._commits))]


commits = Commits()
"""This process's."""


class Journal(Observer):
    """The journal of one hub."""

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self._notes = Notes()
        self._changed: set[EnvironmentKey] = set()
        self._writer = Writer()
        commits.takers += 1
        hub.pulse.sample(self._hand_over)

    def audience_changed(self, key: EnvironmentKey) -> None:
        self._changed.add(key)

    def delivered(self, key: EnvironmentKey, updated_at: UpdatedAt, streams: int, began: float) -> None:
        if not streams:
            return
        note = self._notes.of(key, updated_at)
        version = updated_at.timestamp()
        note.times.spread((began - version) * 1_000, (time.time() - version) * 1_000, streams)
        note.written += streams
        if note.written_at is None:
            note.written_at = began

    def superseded(self, key: EnvironmentKey, updated_at: UpdatedAt, streams: int = 1) -> None:
        if streams:
            self._notes.of(key, updated_at).superseded += streams

    def healed(self, key: EnvironmentKey, updated_at: UpdatedAt) -> None:
        self._notes.of(key, updated_at).healed = True

    async def close(self) -> None:
        self._hand_over()
        commits.takers -= 1
        await asyncio.to_thread(self._writer.stop)

    def _hand_over(self) -> None:
        """Give the thread what there is. Called about once a second."""
        notes, self._notes = self._notes, Notes()
        for commit in commits.take():
            notes.of(commit.key, commit.updated_at).committed_at = commit.at
        notes.streams = {key: self._hub.audience(key) for key in self._changed}
        self._changed.clear()
        if notes:
            self._writer.put(notes)


def of(hub: "Hub") -> Observer:
    """The observer of a new hub: a journal, unless ``REALTIME_INSPECTION`` is off."""
    return Journal(hub) if conf.INSPECTS else Observer()
