"""Gauges of a relay's environments, made at each scrape from those of the process that answers it."""

import time
from collections.abc import Callable, Mapping
from functools import partial

from prometheus_client.core import GaugeMetricFamily, Metric

from realtime.monitoring import metrics
from realtime.relay import environments
from realtime.relay.environments import Environment


def _age(environment: Environment) -> float | None:
    return max(0.0, time.time() - environment.confirmed_at) if environment.held is not None else None


GAUGES: tuple[tuple[str, str, Callable[[Environment], float | None]], ...] = (
    ("document_age_seconds", "Seconds since the upstream last had the document that is held.", _age),
    ("document_missing", "1 if no document is held.", lambda environment: environment.held is None),
    ("behind", "1 if a newer version was announced.", lambda environment: environment.is_behind),
)


def _collect(name: str, text: str, value_of: Callable[[Environment], float | None], sums: Mapping[str, int]) -> Metric:
    """A gauge with a value for each environment, by its client-side key."""
    family = GaugeMetricFamily(f"realtime_relay_{name}", text, labels=["environment"])
    current = environments.current()
    for environment in list(current.by_client_key.values()) if current is not None else []:
        if (value := value_of(environment)) is not None:
            family.add_metric([environment.key], float(value))
    return family


metrics.families.extend(partial(_collect, *gauge) for gauge in GAUGES)
