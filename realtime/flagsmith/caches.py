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
from realtime.failure_log import FailureLog
from realtime.flagsmith import cache_listener, models
from realtime.flagsmith.cache_listener import KnownVersions

logger = structlog.get_logger(__name__)


class EnvironmentCache(LocMemCache):
    """The backend for ``CACHES[ENVIRONMENT_CACHE_NAME]``.

    A request that follows an event gets nothing older from it, in any process and on any machine. An environment's
    version is compared with the database at its first use after an event of the environment, by a query with the
    primary key; or not at all, if it was read after a miss. Without the connection of ``cache_listener.py`` it is
    compared at each use, and if the database does not answer either, what is cached is used.
    """

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        listener = cache_listener.current()
        known = listener.known_versions() if listener is not None else None
        environment = super().get(key, None, version)
        if environment is not None and _is_current(environment, known):
            return environment
        _missed.key, _missed.known = (key, version), known
        return default

    def set(self, key: Any, value: Any, timeout: Any = None, version: int | None = None) -> None:
        super().set(key, value, timeout, version)
        if _missed.key == (key, version) and _missed.known is not None and _is_of_primary(value):
            _missed.known[value.api_key] = value.updated_at


class _Missed(threading.local):
    """The thread's last miss, after which it reads the environment from the database."""

    key: Any = None
    known: KnownVersions | None = None
    """The versions that were recorded before that read."""


_missed = _Missed()


def compares_versions() -> bool:
    """True unless environments are cached by another backend, which compares no versions."""
    name = getattr(settings, "ENVIRONMENT_CACHE_NAME", None)
    return name not in settings.CACHES or isinstance(caches[name], EnvironmentCache)


def _is_current(environment: Any, known: KnownVersions | None) -> bool:
    if known is not None and known.get(environment.api_key) == environment.updated_at:
        return True
    rows = models.rows(conf.ENVIRONMENT_MODEL).filter(pk=environment.pk, updated_at=environment.updated_at)
    try:
        is_current = rows.exists()
    except Error as error:
        if known is not None:
            # The listener is connected, so the database answers: Flagsmith's own read may succeed.
            return False
        # Flagsmith answers some requests from its cache alone, and still does.
        _failures.failed(error)
        return True
    _failures.succeeded()
    if is_current and known is not None:
        known[environment.api_key] = environment.updated_at
    return is_current


_failures = FailureLog(logger, "cached_environments_not_compared")


def _is_of_primary(environment: Any) -> bool:
    """False if it was read from a replica, which may lag."""
    return bool(environment._state.db == router.db_for_write(type(environment)))
