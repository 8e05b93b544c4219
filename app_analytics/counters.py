"""In-memory usage counters: thread-safe, in constant time, with bounded memory for any labels that clients send."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

from app_analytics import days
from app_analytics.labels import NONE, Labels

Key = tuple[int, int, int, Labels]
"""An environment's primary key, a resource or a feature's primary key, the day, and the labels."""

StreamKey = tuple[str, int]
"""An environment's client-side key, and the day."""

# Different labels of one environment and day. Requests with further labels are counted without labels.
MAX_LABEL_SETS = 100
# Different labels of one day, of all environments.
MAX_LABEL_SETS_IN_ALL = 20_000
# Counters that wait to be written. Above it, requests are counted without labels. There are at most as many counters
# without labels as environments and features.
MAX_LABELLED = 100_000

K = TypeVar("K")


@dataclass
class PendingCounts:
    """Counts that are not written yet."""

    requests: dict[Key, int] = field(default_factory=dict)
    evaluations: dict[Key, int] = field(default_factory=dict)
    streams: dict[StreamKey, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.requests or self.evaluations or self.streams)

    def __len__(self) -> int:
        return len(self.requests) + len(self.evaluations) + len(self.streams)

    def add(self, other: "PendingCounts") -> None:
        _add(self.requests, other.requests)
        _add(self.evaluations, other.evaluations)
        _add(self.streams, other.streams)


class LabelSets:
    """The labels that each environment's requests have been counted with today. Limits the rows in the database."""

    def __init__(self) -> None:
        self._day = 0
        self._admitted: defaultdict[int, set[Labels]] = defaultdict(set)
        self._number = 0

    def admit(self, environment_id: int, day: int, labels: Labels) -> bool:
        if day != self._day:
            self._day, self._number = day, 0
            self._admitted.clear()
        admitted = self._admitted[environment_id]
        if labels in admitted:
            return True
        if len(admitted) >= MAX_LABEL_SETS or self._number >= MAX_LABEL_SETS_IN_ALL:
            return False
        admitted.add(labels)
        self._number += 1
        return True


class Counters:
    """The counters of a process. ``take`` removes the counts, ``put_back`` adds those that could not be written."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts = PendingCounts()
        self._label_sets = LabelSets()

    def request(self, environment_id: int, resource: int, labels: Labels, number: int = 1) -> None:
        day = days.today()
        with self._lock:
            self._count(self._counts.requests, (environment_id, resource, day, labels), number)

    def evaluations(self, environment_id: int, features: Mapping[int, int], labels: Labels) -> None:
        """Add evaluations, by feature's primary key."""
        day = days.today()
        with self._lock:
            for feature_id, number in features.items():
                self._count(self._counts.evaluations, (environment_id, feature_id, day, labels), number)

    def stream(self, environment_key: str) -> None:
        key = (environment_key, days.today())
        with self._lock:
            self._counts.streams[key] = self._counts.streams.get(key, 0) + 1

    def take(self) -> PendingCounts:
        with self._lock:
            taken, self._counts = self._counts, PendingCounts()
        return taken

    def put_back(self, counts: PendingCounts) -> None:
        with self._lock:
            self._counts.add(counts)

    def _count(self, counts: dict[Key, int], key: Key, number: int) -> None:
        present = counts.get(key)
        if present is None:
            environment_id, subject, day, labels = key
            if labels != NONE and not self._admits(environment_id, day, labels):
                key = (environment_id, subject, day, NONE)
            present = counts.get(key, 0)
        counts[key] = present + number

    def _admits(self, environment_id: int, day: int, labels: Labels) -> bool:
        return len(self._counts) < MAX_LABELLED and self._label_sets.admit(environment_id, day, labels)


def _add(counts: dict[K, int], more: dict[K, int]) -> None:
    for key, number in more.items():
        counts[key] = counts.get(key, 0) + number
