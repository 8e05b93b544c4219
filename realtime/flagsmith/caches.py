"""Flagsmith's cache of environments, of which only those are used whose versions are the database's.

Flagsmith keeps an environment, with its version and its settings, for ``ENVIRONMENT_CACHE_SECONDS`` in each process. A
change invalidates the cache of the process that made it.
"""

from typing import Any

import structlog
from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.db import DatabaseError

from realtime.conf import conf
from realtime.flagsmith import models

logger = structlog.get_logger(__name__)


class EnvironmentCache(LocMemCache):
    """A backend for ``CACHES[ENVIRONMENT_CACHE_NAME]``: an environment is a miss once its version has risen.

    This takes a query by primary key for each environment that is found, so that a request that follows an event reads
    nothing older, in any process and on any machine.
    """

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        environment = super().get(key, None, version)
        return default if environment is None or not _is_current(environment) else environment


def are_checked() -> bool:
    """True unless environments are cached by another backend, which compares no versions."""
    name = getattr(settings, "ENVIRONMENT_CACHE_NAME", None)
    return name not in settings.CACHES or isinstance(caches[name], EnvironmentCache)


def _is_current(environment: Any) -> bool:
    rows = models.rows(conf.ENVIRONMENT_MODEL).filter(pk=environment.pk, updated_at=environment.updated_at)
    try:
        return rows.exists()
    except DatabaseError:
        # Flagsmith answers some requests from its cache alone, and still does.
        logger.warning("cached_environment_not_checked", environment=environment.pk, exc_info=True)
        return True
