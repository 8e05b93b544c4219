"""Django's cache, which holds throttles' counters: Redis by ``REDIS_URL``, otherwise the process's memory."""

from typing import Any

# If Redis does not answer within this time, the request is counted in this process only.
TIMEOUT_SECONDS = 1.0

MAX_ENTRIES = 50_000


def from_url(url: str) -> dict[str, Any]:
    """The cache for a Redis URL; in memory for an empty one."""
    if not url:
        return {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            # Django's default is 300, so an attacker with 300 addresses could evict all counters.
            "OPTIONS": {"MAX_ENTRIES": MAX_ENTRIES},
        }
    return {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": url,
        "KEY_PREFIX": "flagsmith",
        "OPTIONS": {"socket_connect_timeout": TIMEOUT_SECONDS, "socket_timeout": TIMEOUT_SECONDS},
    }
