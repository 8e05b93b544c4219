"""Gauges of a relay's environments, made at each scrape from those of the process that answers it."""

import time
from collections.abc import Callable, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric

from realtime.monitoring import metrics
from realtime.relay import environments
from realtime.relay.environments import Environment


class EnvironmentGauge:
    """A gauge with a value for each environment, by its client-side key."""

    def __init__(self, name: str, text: str, value: Callable[[Environment], float | None]) -> None:
        self._name, self._text, self._value = name, text, value
        metrics.families.append(self.collect)

    def collect(self, sums: Mapping[str, int]) -> Metric:
        family = GaugeMetricFamily(self._name, self._text, labels=["environment"])
        current = environments.current()
        for environment in list(current.by_client_key.values()) if current is not None else []:
            if (value := self._value(environment)) is not None:
                family.add_metric([environment.key], value)
        return family


def _age(environment: Environment) -> float | None:
    return max(0.0, time.time() - environment.confirmed_at) if environment.held is not None else None


EnvironmentGauge(
    "realtime_relay_document_age_seconds", "Seconds since the upstream last had the document that is held.", _age
)
EnvironmentGauge(
    "realtime_relay_document_missing", "1 if no document is held.", lambda environment: float(environment.held is None)
)
EnvironmentGauge(
    "realtime_relay_behind", "1 if a newer version was announced.", lambda environment: float(environment.is_behind)
)
