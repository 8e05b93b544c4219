"""Clients of the configured Redis: one server, a cluster, or the primary that Sentinels name.

The server is described by django-eventstream's setting ``EVENTSTREAM_REDIS``, the arguments of ``redis.Redis``.
``REALTIME_REDIS_CLUSTER`` and ``REALTIME_REDIS_SENTINELS`` add what that setting cannot express.
"""

from collections.abc import Callable
from typing import Any

from django.conf import settings

from realtime.conf import conf

SETTING = "EVENTSTREAM_REDIS"

DEFAULT_SENTINEL_PORT = 26_379


def errors() -> tuple[type[Exception], ...]:
    """The exceptions of a Redis that cannot be used."""
    from redis.exceptions import RedisClusterException, RedisError

    # The second one is no RedisError.
    return RedisError, RedisClusterException, OSError


def options() -> dict[str, Any]:
    """The value of the setting."""
    value: dict[str, Any] = getattr(settings, SETTING)
    return value


def connect(defaults: dict[str, Any], retries: int = 0, on_connect: Callable[[], None] | None = None) -> Any:
    """Return a client that retries this number of times, at once, if a connection is refused or was closed.

    It does not retry after a timeout. ``defaults`` are arguments that the setting may override. A client of a cluster
    connects here, others later. ``on_connect`` is called for each new connection, in the thread that needs it: the
    client replaces closed connections without an error.
    """
    from redis import Redis, Sentinel
    from redis.backoff import NoBackoff
    from redis.cluster import RedisCluster
    from redis.exceptions import ConnectionError as RedisConnectionError
    from redis.retry import Retry

    from realtime.compat import redis as compat

    retry = Retry(NoBackoff(), retries, (RedisConnectionError,))
    ours = {"decode_responses": False, "socket_keepalive": True, "retry": retry}
    arguments = {**defaults, **options(), **ours}
    if on_connect:
        arguments |= compat.connect_arguments(on_connect, is_cluster=conf.REDIS_CLUSTER)
    if conf.REDIS_CLUSTER:
        arguments.pop("db", None)
        return RedisCluster(**arguments)
    if conf.REDIS_SENTINELS:
        timeouts = {name: value for name, value in arguments.items() if name.startswith("socket_")}
        del arguments["host"], arguments["port"]
        sentinel: Any = Sentinel(_addresses(), sentinel_kwargs=timeouts, **arguments)  # type: ignore[no-untyped-call]
        return sentinel.master_for(conf.REDIS_SERVICE, redis_class=Redis)
    return Redis(**arguments)


def of_any_node(client: Any) -> Any:
    """The client itself; of a cluster the client of one node. Each node receives what any other one publishes."""
    if not conf.REDIS_CLUSTER:
        return client
    return client.get_redis_connection(client.get_random_node())


def disconnect(client: Any) -> None:
    """Close the client's connections, including those on which a thread waits."""
    client.connection_pool.disconnect(inuse_connections=True)


def _addresses() -> list[tuple[str, int]]:
    pairs = [address.rpartition(":") for address in conf.REDIS_SENTINELS]
    return [(host or port, int(port) if host else DEFAULT_SENTINEL_PORT) for host, _, port in pairs]
