"""Polls the state of this process's bus once a second, for the metrics and for the liveness of its listener."""

from realtime import bus
from realtime.monitoring import metrics
from realtime.monitoring.liveness import Pulse


class BusMonitor:
    """Copies ``bus.health()`` into the metrics, and reports the listening thread's progress to liveness."""

    def __init__(self, pulse: Pulse) -> None:
        self._listener = pulse.part("listener")
        self._listener.rest()
        self._beat: float | None = None
        self._reconnects = 0
        pulse.call_every_second(self.update)

    def update(self) -> None:
        health = bus.health()
        for name in metrics.BUSES:
            metrics.bus_connected[name].set(int(health.connected and health.name == name))
        # A bus that was restarted counts its reconnects from 0 again.
        metrics.bus_reconnects.add(max(0, health.reconnects - self._reconnects))
        self._reconnects = health.reconnects
        if health.beat is None:
            self._listener.rest()
        elif health.beat != self._beat:
            self._listener.progress()
        self._beat = health.beat
