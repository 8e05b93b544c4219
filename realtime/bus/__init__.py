"""The bus: carries events to the streams of other processes. One of three back ends, chosen by the settings.

``current()`` is the bus of this process. It listens while a hub is attached. When it may have missed events, it makes
all attached hubs reconcile.
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

# Imported lazily, because a project may have neither redis-py nor psycopg installed.
BACK_ENDS = {
    "memory": "realtime.bus.memory.MemoryBus",
    "postgres": "realtime.bus.postgres.PostgresBus",
    "redis": "realtime.bus.redis.RedisBus",
}


class Hub(Protocol):
    """A hub, as the bus sees it."""

    def reconcile_now(self) -> None:
        """Start a reconcile now. Called in any thread."""


_lock = threading.RLock()
_hubs: WeakSet[Hub] = WeakSet()
_current: Bus | None = None


def name() -> str:
    """The back end that ``REALTIME_BUS`` names.

    If it is empty: redis if ``EVENTSTREAM_REDIS`` is set, else postgres if the default database is PostgreSQL, else
    memory.
    """
    if conf.BUS:
        return conf.BUS
    if hasattr(settings, "EVENTSTREAM_REDIS"):
        return "redis"
    return "postgres" if connection.vendor == "postgresql" else "memory"


def current() -> Bus:
    """The bus of this process. If the settings have changed, the old bus is closed and a new one made."""
    global _current
    chosen = name()
    if chosen not in BACK_ENDS:
        raise ImproperlyConfigured(f"REALTIME_BUS is {chosen!r}; it is one of {', '.join(BACK_ENDS)}.")
    with _lock:
        if _current is None or _current.name != chosen:
            if _current is not None:
                _current.close()
            _current = import_string(BACK_ENDS[chosen])(_reconcile_hubs)
        return _current


def health() -> Health:
    """The health of this process's bus. If the bus cannot be made, it is reported as not connected."""
    try:
        return current().health()
    except Exception as error:
        return Health(name(), False, timezone.now(), last_error=repr(error))


def attach(hub: Hub) -> None:
    """Start the bus, unless it is running, and attach this hub to it. If the back end raises, nothing is attached."""
    with _lock:
        bus = current()
        bus.start()
        if not _hubs:
            logger.info("bus_started", bus=bus.name)
        _hubs.add(hub)


def detach(hub: Hub) -> None:
    """Detach a hub. The bus is closed with the last one."""
    with _lock:
        _hubs.discard(hub)
        if not _hubs and _current is not None:
            _current.close()


def _reconcile_hubs() -> None:
    with _lock:
        for hub in _hubs:
            hub.reconcile_now()


def _reset_after_fork() -> None:
    """Let a forked child make its own bus, because threads do not survive a fork."""
    global _lock, _current
    _lock, _current = threading.RLock(), None
    _hubs.clear()


os.register_at_fork(after_in_child=_reset_after_fork)
