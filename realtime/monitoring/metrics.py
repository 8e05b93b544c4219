"""What is counted here, under the names that Prometheus and docs/metrics.md know.

To count is to add to an integer (figures.py), and nothing is counted stream by stream while an event is written to all
of them. The text that Prometheus reads is made when it asks.
"""

import time
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from threading import Lock
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from realtime.monitoring.figures import Figures, figures
from realtime.types import UpdatedAt

# Upper ends in seconds. Ours are milliseconds, a reconcile is a second, and a spread takes up to half a minute.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

MICROSECONDS = 1_000_000


class Number:
    """One integer. Whoever counts it does so in the event loop, unless it says otherwise."""

    def __init__(self, name: str, lasting: bool, memory: Figures = figures) -> None:
        self.name = name
        self._memory = memory
        self._index = memory.add(name, lasting)

    def add(self, number: int = 1) -> None:
        try:
            self._memory.values[self._index] += number
        except ValueError:
            # Eight bytes are full. Prometheus takes it for a process that has begun anew.
            self._memory.values[self._index] = 0

    def set(self, number: int) -> None:
        self._memory.values[self._index] = number


class ThreadsNumber(Number):
    """One that any thread counts."""

    def __init__(self, name: str, lasting: bool, memory: Figures = figures) -> None:
        super().__init__(name, lasting, memory)
        self._lock = Lock()

    def add(self, number: int = 1) -> None:
        with self._lock:
            super().add(number)


class Family(Protocol):
    """What has a name of its own among the metrics."""

    def told(self, sums: Mapping[str, int]) -> Metric:
        """For Prometheus, from the sums of all processes."""
        ...


families: list[Family] = []


class Labelled(ABC):
    """One number, or one for each value of a label."""

    def __init__(self, name: str, text: str, label: str, numbers: dict[str, Number]) -> None:
        self.name, self.text = name, text
        self._labels = [label] if label else []
        self._numbers = numbers
        self._last = list(numbers.values())[-1]
        families.append(self)

    def __getitem__(self, value: str) -> Number:
        """Of this value of the label. Of any that is unknown: the last one's."""
        return self._numbers.get(value, self._last)

    def add(self, number: int = 1) -> None:
        """Of one without a label."""
        self._last.add(number)

    def told(self, sums: Mapping[str, int]) -> Metric:
        return self.told_as(self.name, sums)

    def told_as(self, name: str, sums: Mapping[str, int]) -> Metric:
        """The same under another name."""
        family = self._family(name)
        for value, number in self._numbers.items():
            family.add_metric([value] if self._labels else [], sums[number.name])
        return family

    @abstractmethod
    def _family(self, name: str) -> CounterMetricFamily | GaugeMetricFamily:
        """Of this name, without samples."""


class Counts(Labelled):
    """A counter. Its name ends in ``_total`` when it is told."""

    def __init__(
        self, name: str, text: str, label: str = "", values: Iterable[str] = ("",), kind: type[Number] = Number
    ) -> None:
        super().__init__(name, text, label, {value: kind(f"{name} {value}", lasting=True) for value in values})

    def _family(self, name: str) -> CounterMetricFamily:
        return CounterMetricFamily(name, self.text, labels=self._labels)


class Gauge(Labelled):
    """How much there is now, in all living processes together."""

    def __init__(self, name: str, text: str, label: str = "", values: Iterable[str] = ("",)) -> None:
        super().__init__(name, text, label, {value: Number(f"{name} {value}", lasting=False) for value in values})

    def set(self, number: int) -> None:
        self._last.set(number)

    def _family(self, name: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(name, self.text, labels=self._labels)


class Durations:
    """A histogram of seconds."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text
        self._buckets = [Number(f"{name} {end}", lasting=True) for end in (*BUCKETS, "+Inf")]
        self._sum = Number(f"{name} sum", lasting=True)
        families.append(self)

    def add(self, seconds: float, times: int) -> None:
        self._buckets[bisect_left(BUCKETS, seconds)].add(times)
        self._sum.add(round(seconds * MICROSECONDS) * times)

    def told(self, sums: Mapping[str, int]) -> Metric:
        ends = [*map(str, BUCKETS), "+Inf"]
        below, buckets = 0, []
        for end, number in zip(ends, self._buckets, strict=True):
            below += sums[number.name]
            buckets.append((end, below))
        family = HistogramMetricFamily(self._name, self._text)
        family.add_metric([], buckets, sums[self._sum.name] / MICROSECONDS)
        return family


class AlsoKnownAs:
    """The same numbers under another name."""

    def __init__(self, name: str, of: Labelled) -> None:
        self._name, self._of = name, of
        families.append(self)

    def told(self, sums: Mapping[str, int]) -> Metric:
        return self._of.told_as(self._name, sums)


# Kinds of limits. "other" takes what is not among them.
LIMITS = ("address", "environment", "process", "rate", "other")

FLAGSMITH_SOURCES = ("signals", "following")

BUSES = ("memory", "postgres", "redis", "other")

streams_open = Gauge("realtime_streams_open", "Streams whose connection is open.")
streams_opened = Counts("realtime_streams_opened", "Streams that were opened.")
streams_held = Gauge("realtime_streams_held", "Of the open streams, those that met a limit and hear nothing else.")
streams_stalled = Counts("realtime_streams_stalled", "Streams given up because their client read nothing.")
limits_hit = Counts("realtime_limits_hit", "Streams that got nothing but a reason, by the limit.", "kind", LIMITS)

published = Counts("realtime_events_published", "Events given to the bus.", kind=ThreadsNumber)
publish_failed = Counts("realtime_publish_failures", "Events that the bus did not take.", kind=ThreadsNumber)
delivered = Counts("realtime_events_delivered", "Events written to a stream that was open, each stream counted.")
superseded = Counts("realtime_events_superseded", "Events that a later one replaced before a slow client took them.")
repeated = Counts("realtime_events_repeated", "Events written to a stream a second time, each stream counted.")
healed = Counts("realtime_events_healed", "Versions that the reconcile found and the bus had not brought.")
flagsmith_events = Counts(
    "realtime_flagsmith_events",
    "With a real Flagsmith's database: events by how this process learned of them, each environment counted once.",
    "source",
    FLAGSMITH_SOURCES,
)
propagation = Durations(
    "realtime_propagation_seconds", "From an event's updated_at, taken in its transaction, to when it was written."
)
refetches = Counts("realtime_refetches", "Reads of an environment within ten seconds of its last change.")

reconciles = Counts("realtime_reconciles", "Looks at the database for what moved.", "result", ("done", "failed"))
bus_connected = Gauge("realtime_bus_connected", "Processes whose bus is connected.", "bus", BUSES)
bus_reconnects = Counts("realtime_bus_reconnects", "Times that a process's bus was connected anew.")

draining = Gauge("realtime_draining", "Processes that are shutting down.")
drained = Counts("realtime_streams_drained", "Streams that were open when their process began to shut down.")

processes = Gauge("realtime_processes", "Processes that serve.")
wedged = Gauge("realtime_wedged", "Parts of processes that make no progress.")
loop_blocked = Counts("realtime_event_loop_blocked", "Times that an event loop was held up for seconds.")

# Flagsmith's documentation has these for its own server.
AlsoKnownAs("flagsmith_sse_subscribers_active", streams_open)
AlsoKnownAs("flagsmith_sse_subscribers", streams_opened)

# How often the loop has ticked: for the other processes of the server, not for Prometheus.
ticks = Number("ticks", lasting=False)


def limit_hit(kind: str) -> None:
    """A client met a limit: one of ``LIMITS``. In the event loop."""
    limits_hit[kind].add()


def told(updated_at: UpdatedAt, streams: int) -> None:
    """An event of this version has just been written to so many streams. In the event loop."""
    if streams:
        delivered.add(streams)
        # Another machine's clock may be ahead of ours.
        propagation.add(max(0.0, time.time() - updated_at.timestamp()), streams)


class _Collector:
    def collect(self) -> Iterator[Metric]:
        sums = figures.sums()
        for family in families:
            yield family.told(sums)


_registry = CollectorRegistry()
_registry.register(_Collector())


def scrape(accept: str) -> tuple[bytes, str]:
    """All metrics of the server's processes, and the content type of that, as the client's ``Accept`` wants it."""
    encode, content_type = choose_encoder(accept)
    return encode(_registry), content_type
