"""The metrics of ``realtime``. docs/metrics.md describes them.

To count is to add to an integer (``shared_counters.py``). An event's deliveries are counted once, not for each stream.
The text for Prometheus is made at each scrape.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from threading import Lock
from typing import ClassVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from realtime.compat.prometheus_client import choose_encoder
from realtime.monitoring.shared_counters import counters
from realtime.types import UpdatedAt

# Upper bounds in seconds. An event takes milliseconds, a reconcile a second, and a spread up to half a minute.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

MICROSECONDS = 1_000_000


class Value:
    """One integer of the shared counters. Any thread may change it."""

    def __init__(self, name: str, cumulative: bool) -> None:
        self.name = name
        self._index = counters.add(name, cumulative)
        self._lock = Lock()

    def add(self, number: int = 1) -> None:
        # The lock takes 0.1 µs.
        with self._lock:
            try:
                counters.values[self._index] += number
            except ValueError:
                # Eight bytes have overflowed. Prometheus handles the reset like that of a restarted process.
                counters.values[self._index] = 0

    def set(self, number: int) -> None:
        counters.values[self._index] = number


families: list[Callable[[Mapping[str, int]], Metric]] = []
"""Functions that make the metrics for Prometheus, from the sums over all processes."""


class LabelledMetric:
    """A metric with one value, or with one for each value of a label."""

    family: ClassVar[type[CounterMetricFamily | GaugeMetricFamily]]
    is_cumulative: ClassVar[bool]

    def __init__(self, name: str, text: str, label: str = "", values: Iterable[str] = ("",)) -> None:
        self._name, self._text = name, text
        self._labels = [label] if label else []
        self._values = {value: Value(f"{name} {value}", self.is_cumulative) for value in values}
        self._last = list(self._values.values())[-1]
        families.append(self.collect)

    def __getitem__(self, value: str) -> Value:
        """The metric's value for this value of the label. For an unknown one: that of the last."""
        return self._values.get(value, self._last)

    def add(self, number: int = 1) -> None:
        """Add to a metric that has no label."""
        self._last.add(number)

    def collect(self, sums: Mapping[str, int], name: str = "") -> Metric:
        """The metric for Prometheus, under its own name or another one."""
        family = self.family(name or self._name, self._text, labels=self._labels)
        for value, number in self._values.items():
            family.add_metric([value] if self._labels else [], sums[number.name])
        return family


class Counter(LabelledMetric):
    """A counter. Prometheus gets its name with the suffix ``_total``."""

    family = CounterMetricFamily
    is_cumulative = True


class Gauge(LabelledMetric):
    """A gauge: the current value, summed over all running processes."""

    family = GaugeMetricFamily
    is_cumulative = False

    def set(self, number: int) -> None:
        self._last.set(number)


class Histogram:
    """A histogram of seconds."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text
        self._buckets = [Value(f"{name} {end}", cumulative=True) for end in (*BUCKETS, "+Inf")]
        self._sum = Value(f"{name} sum", cumulative=True)
        families.append(self.collect)

    def add(self, seconds: float, times: int) -> None:
        self._buckets[bisect_left(BUCKETS, seconds)].add(times)
        self._sum.add(round(seconds * MICROSECONDS) * times)

    def collect(self, sums: Mapping[str, int]) -> Metric:
        ends = [*map(str, BUCKETS), "+Inf"]
        below, buckets = 0, []
        for end, number in zip(ends, self._buckets, strict=True):
            below += sums[number.name]
            buckets.append((end, below))
        family = HistogramMetricFamily(self._name, self._text)
        family.add_metric([], buckets, sums[self._sum.name] / MICROSECONDS)
        return family


# Label values. "other" is for values that are not listed.
LIMITS = ("address", "environment", "process", "rate", "other")

FLAGSMITH_SOURCES = ("signals", "following")

BUSES = ("memory", "postgres", "redis", "other")

streams_open = Gauge("realtime_streams_open", "Streams whose connection is open.")
windows_open = Gauge("realtime_windows_open", "Windows of the dashboard whose stream is open.")
streams_opened = Counter("realtime_streams_opened", "Streams that were opened.")
streams_held = Gauge("realtime_streams_held", "Open streams over a limit, which get no events.")
streams_stalled = Counter("realtime_streams_stalled", "Streams aborted because their client did not read.")
limits_hit = Counter("realtime_limits_hit", "Streams over a limit, by the limit.", "kind", LIMITS)

published = Counter("realtime_events_published", "Events given to the bus.")
publish_failed = Counter("realtime_publish_failures", "Events that could not be given to the bus.")
delivered = Counter("realtime_events_delivered", "Events written to open streams, counted per stream.")
superseded = Counter("realtime_events_superseded", "Events replaced by a later one before a slow client read them.")
repeated = Counter("realtime_events_repeated", "Events written to streams a second time, counted per stream.")
healed = Counter("realtime_events_healed", "Versions found by the reconcile before the bus delivered them.")
flagsmith_events = Counter(
    "realtime_flagsmith_events",
    "Events of a real Flagsmith's database, counted per environment, by how they were found.",
    "source",
    FLAGSMITH_SOURCES,
)
propagation = Histogram(
    "realtime_propagation_seconds", "Seconds from an event's updated_at, set in its transaction, until it was written."
)
refetches = Counter("realtime_refetches", "SDK reads of an environment within ten seconds of its last change.")

reconciles = Counter("realtime_reconciles", "Reads of the recently changed environments.", "result", ("done", "failed"))
bus_connected = Gauge("realtime_bus_connected", "Processes whose bus is connected.", "bus", BUSES)
bus_reconnects = Counter("realtime_bus_reconnects", "Reconnects of the bus after a lost connection.")

draining = Gauge("realtime_draining", "Processes that are shutting down.")
drained = Counter("realtime_streams_drained", "Streams that were open when their process began to shut down.")

processes = Gauge("realtime_processes", "Running server processes.")
wedged = Gauge("realtime_wedged", "Parts of processes that make no progress.")
loop_blocked = Counter(
    "realtime_event_loop_blocked", "Times that an event loop was blocked for more than three seconds."
)

# Names that Flagsmith's documentation lists for its own server.
families.append(partial(streams_open.collect, name="flagsmith_sse_subscribers_active"))
families.append(partial(streams_opened.collect, name="flagsmith_sse_subscribers"))

# The loop's tick counter, for the server's other processes (``liveness.OtherProcesses``), not for Prometheus.
ticks = Value("ticks", cumulative=False)


def count_delivered(updated_at: UpdatedAt, streams: int) -> None:
    """Count an event of this version, which was just written to ``streams`` streams. Called in the event loop."""
    if streams:
        delivered.add(streams)
        # The clock of the machine that made the version may be ahead.
        propagation.add(max(0.0, time.time() - updated_at.timestamp()), streams)


class _Collector:
    def collect(self) -> Iterator[Metric]:
        sums = counters.sums()
        for family in families:
            yield family(sums)


_registry = CollectorRegistry()
_registry.register(_Collector())


def scrape(accept: str) -> tuple[bytes, str]:
    """The metrics of all processes of the server, and their content type, negotiated by the ``Accept`` header."""
    encode, content_type = choose_encoder(accept)
    return encode(_registry), content_type
