"""The cache: Redis by ``REDIS_URL``, otherwise each process's own memory. Only counters of throttles are in it."""

from typing import Any

# Seconds that a request waits for a Redis that does not answer; it is then counted in this process alone.
PATIENCE = 1.0

MAX_ENTRIES = 50_000


def from_url(url: str) -> dict[str, Any]:
    """The cache of a Redis URL; "": memory."""
    if not url:
        return {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            # Django keeps 300. Then an attacker with 300 addresses would make it forget what it has counted.
            "OPTIONS": {"MAX_ENTRIES": MAX_ENTRIES},
        }
    return {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": url,
        "KEY_PREFIX": "flagsmith",
        "OPTIONS": {"socket_connect_timeout": PATIENCE, "socket_timeout": PATIENCE},
    }
