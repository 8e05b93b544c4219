"""Where calls are counted."""

from settings import caches


def test_from_url__none__memory_that_three_hundred_addresses_do_not_fill() -> None:
    cache = caches.from_url("")

    assert cache["BACKEND"] == "django.core.cache.backends.locmem.LocMemCache"
    assert cache["OPTIONS"]["MAX_ENTRIES"] > 10_000


def test_from_url__redis__waits_a_second_and_no_longer() -> None:
    cache = caches.from_url("redis://redis.example.com:6379/1")

    assert cache["LOCATION"] == "redis://redis.example.com:6379/1"
    assert cache["OPTIONS"] == {"socket_connect_timeout": 1.0, "socket_timeout": 1.0}
