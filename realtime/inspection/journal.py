"""What a process notes of its streams and events, in the event loop: once for an event, nothing for a stream.

Once a second the notes go to a thread that writes them (``writer.py``).
"""

import asyncio
import time
from typing import TYPE_CHECKING

from realtime.conf import conf
from realtime.inspection.commits import commits
from realtime.inspection.notes import Notes
from realtime.inspection.writer import Writer
from realtime.types import EnvironmentKey, UpdatedAt

if TYPE_CHECKING:
    from realtime.hub import Hub


class Journal:
    """The journal of a process that keeps none: ``REALTIME_INSPECTION`` is off."""

    def moved(self, key: EnvironmentKey) -> None:
        """A stream of this environment has come or gone."""

    def told(self, key: EnvironmentKey, updated_at: UpdatedAt, streams: int, began: float) -> None:
        """This event has just been written to so many streams, beginning at this time of the epoch."""

    def superseded(self, key: EnvironmentKey, updated_at: UpdatedAt, streams: int = 1) -> None:
        """So many streams will not get this event, but a later one."""

    def healed(self, key: EnvironmentKey, updated_at: UpdatedAt) -> None:
        """The reconcile has brought this event."""

    async def close(self) -> None:
        """Write what is noted, and that this process has ended."""


class KeptJournal(Journal):
    """The journal of one hub."""

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self._notes = Notes()
        self._moved: set[EnvironmentKey] = set()
        self._writer = Writer()
        commits.takers += 1
        hub.pulse.sample(self._hand_over)

    def moved(self, key: EnvironmentKey) -> None:
        self._moved.add(key)

    def told(self, key: EnvironmentKey, updated_at: UpdatedAt, streams: int, began: float) -> None:
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
        notes.streams = {key: self._hub.audience(key) for key in self._moved}
        self._moved.clear()
        if notes:
            self._writer.put(notes)


def of(hub: "Hub") -> Journal:
    """The journal of a new hub."""
    return KeptJournal(hub) if conf.INSPECTS else Journal()
