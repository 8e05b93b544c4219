"""The bus: how an event reaches the streams of other processes. One of three, chosen by what is configured.

``current()`` is this process's. It listens as long as there is a hub (``attach``), and wakes all of them when it may
have missed something.
"""

import os
import threading
from typing import Protocol
from weakref import WeakSet

import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.utils import timezone
from django.utils.module_loading import import_string

from realtime.bus.spec import Bus, Health
from realtime.conf import conf

__all__ = ["BACK_ENDS", "Bus", "Health", "Hub", "attach", "current", "detach", "health", "name"]

logger = structlog.get_logger(__name__)

# Modules are imported when they are chosen: a project needs neither Redis's package nor psycopg.
BACK_ENDS = {
    "memory": "realtime.bus.memory.MemoryBus",
    "postgres": "realtime.bus.postgres.PostgresBus",
    "redis": "realtime.bus.redis.RedisBus",
}


class Hub(Protocol):
    """Who has streams to serve."""

    def look(self) -> None:
        """Something may have been missed: ask the database now. Called in any thread."""


_lock = threading.RLock()
_hubs: WeakSet[Hub] = WeakSet()
_current: Bus | None = None


def name() -> str:
    """The back end that ``REALTIME_BUS`` names; otherwise Redis where django-eventstream has one, PostgreSQL where it
    is the default database, and memory.
    """
    if conf.BUS:
        return conf.BUS
    if hasattr(settings, "EVENTSTREAM_REDIS"):
        return "redis"
    return "postgres" if connection.vendor == "postgresql" else "memory"


def current() -> Bus:
    """This process's bus. Another one, if the settings have changed."""
    global _current
    chosen = name()
    if chosen not in BACK_ENDS:
        raise ImproperlyConfigured(f"REALTIME_BUS is {chosen!r}; it is one of {', '.join(BACK_ENDS)}.")
    with _lock:
        if _current is None or _current.name != chosen:
            if _current is not None:
                _current.close()
            _current = import_string(BACK_ENDS[chosen])(_look)
        return _current


def health() -> Health:
    """The state of this process's bus. A bus that cannot be made is not connected."""
    try:
        return current().health()
    except Exception as error:
        return Health(name(), False, timezone.now(), last_error=repr(error))


def attach(hub: Hub) -> None:
    """Start the bus, if it is not, and let it wake this hub. Raises what the back end raises; then nothing is left."""
    with _lock:
        bus = current()
        bus.start()
        if not _hubs:
            logger.info("bus_started", bus=bus.name)
        _hubs.add(hub)


def detach(hub: Hub) -> None:
    """The hub is closed; with the last one the bus is."""
    with _lock:
        _hubs.discard(hub)
        if not _hubs and _current is not None:
            _current.close()


def _look() -> None:
    with _lock:
        for hub in _hubs:
            hub.look()


def _forget() -> None:
    """Threads do not survive a fork: the child makes its own bus."""
    global _lock, _current
    _lock, _current = threading.RLock(), None
    _hubs.clear()


os.register_at_fork(after_in_child=_forget)
