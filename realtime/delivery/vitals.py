"""What is looked at about once a second, because nobody says when it changes: the bus."""

from realtime import bus
from realtime.monitoring import metrics
from realtime.monitoring.liveness import Pulse


class BusVitals:
    """The bus of this process, for the metrics, and its listener, for the liveness."""

    def __init__(self, pulse: Pulse) -> None:
        self._listener = pulse.part("listener")
        self._listener.rest()
        self._beat: float | None = None
        self._reconnects = 0
        pulse.sample(self.look)

    def look(self) -> None:
        health = bus.health()
        for name in metrics.BUSES:
            metrics.bus_connected[name].set(int(health.connected and health.name == name))
        # It counts from 0 again when it is started again.
        metrics.bus_reconnects.add(max(0, health.reconnects - self._reconnects))
        self._reconnects = health.reconnects
        if health.beat is None:
            self._listener.rest()
        elif health.beat != self._beat:
            self._listener.progress()
        self._beat = health.beat
