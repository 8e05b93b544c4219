"""Storage of the versions that external publishers post: a table of the database, or Redis.

``current()`` is the store that ``REALTIME_STORE`` names. Per environment the greatest version wins, whichever process
stores it.
"""

from threading import Lock
from typing import Any

from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from realtime.conf import conf
from realtime.posted_versions.store import Health, Store, StoreError

__all__ = ["STORES", "Health", "Store", "StoreError", "current"]

# Modules are imported when they are chosen: without Redis its package is not needed.
STORES = {
    "database": "realtime.posted_versions.sql.SQLStore",
    "redis": "realtime.posted_versions.redis.RedisStore",
}

_lock = Lock()
_current: Store | None = None


def current() -> Store:
    """The store of this process."""
    global _current
    store = _current
    if store is None:
        with _lock:
            store = _current = _current or import_string(STORES[conf.STORE])()
    return store


@receiver(setting_changed)
def _forget(**kwargs: Any) -> None:
    global _current
    _current = None
