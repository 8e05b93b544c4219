"""Flagsmith's cache of environments, in which an environment stays with its version and its settings for
``ENVIRONMENT_CACHE_SECONDS``.
"""

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache

from realtime.flagsmith import models
from realtime.types import EnvironmentKey


def environment_cache() -> Any:
    return caches[getattr(settings, "ENVIRONMENT_CACHE_NAME")]  # noqa: B009


def is_per_process() -> bool:
    """True if each process has a cache of its own, which is Flagsmith's default."""
    return bool(getattr(settings, "ENVIRONMENT_CACHE_SECONDS", 0)) and isinstance(environment_cache(), LocMemCache)


def forget(keys: Iterable[EnvironmentKey]) -> None:
    """Remove these environments from the cache, where they are under all keys with which an SDK may ask."""
    keys = list(keys)
    environment_cache().delete_many(keys)
    server_keys = models.rows("environments.EnvironmentAPIKey").filter(environment__api_key__in=keys)
    environment_cache().delete_many(list(server_keys.values_list("key", flat=True)))
