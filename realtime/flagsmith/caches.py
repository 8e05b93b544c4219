"""A backend for Flagsmith's cache of environments, for which an environment with an older version is a miss.

Flagsmith keeps an environment, with its version and its settings, for ``ENVIRONMENT_CACHE_SECONDS`` in each process. A
change invalidates the cache of the process that made it.
"""

import threading
from typing import Any

import structlog
from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.db import Error, router

from realtime.conf import conf
from realtime.flagsmith import cache_listener, models
from realtime.flagsmith.cache_listener import Checked

logger = structlog.get_logger(__name__)


class EnvironmentCache(LocMemCache):
    """The backend for ``CACHES[ENVIRONMENT_CACHE_NAME]``.

    A request that follows an event gets nothing older from it, in any process and on any machine. An environment's
    version is compared with the database at its first use after an event of the environment, by a query with the
    primary key; or not at all, if it was read after a miss. Without the connection of ``cache_listener.py`` it is
    compared at each use.
    """

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        listener = cache_listener.current()
        checked = listener.checked() if listener is not None else None
        environment = super().get(key, None, version)
        if environment is not None and _is_current(environment, checked):
            return environment
        _missed.key, _missed.checked = (key, version), checked
        return default

    def set(self, key: Any, value: Any, timeout: Any = None, version: int | None = None) -> None:
        super().set(key, value, timeout, version)
        if _missed.key == (key, version) and _missed.checked is not None and _is_of_primary(value):
            _missed.checked[value.api_key] = value.updated_at


class _Missed(threading.local):
    """The thread's last miss, after which it reads the environment from the database."""

    key: Any = None
    checked: Checked | None = None
    """The versions that were known before that read."""


_missed = _Missed()


def are_checked() -> bool:
    """True unless environments are cached by another backend, which compares no versions."""
    name = getattr(settings, "ENVIRONMENT_CACHE_NAME", None)
    return name not in settings.CACHES or isinstance(caches[name], EnvironmentCache)


def _is_current(environment: Any, checked: Checked | None) -> bool:
    if checked is not None and checked.get(environment.api_key) == environment.updated_at:
        return True
    rows = models.rows(conf.ENVIRONMENT_MODEL).filter(pk=environment.pk, updated_at=environment.updated_at)
    try:
        is_current = rows.exists()
    except Error:
        # Flagsmith answers some requests from its cache alone, and still does.
        logger.warning("cached_environment_not_checked", environment=environment.pk, exc_info=True)
        return True
    if is_current and checked is not None:
        checked[environment.api_key] = environment.updated_at
    return is_current


def _is_of_primary(environment: Any) -> bool:
    """False if it was read from a replica, which may lag."""
    return bool(environment._state.db == router.db_for_write(type(environment)))
