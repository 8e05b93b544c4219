"""Contracts of redis-py's parts that ``realtime/compat/redis.py`` uses."""

from typing import Any

import pytest
from redis import Connection, SSLConnection, UnixDomainSocketConnection
from redis.cluster import RedisCluster
from redis.connection import parse_url


@pytest.mark.parametrize(
    "url, arguments",
    [
        ("redis://user:p%40ss@h:1/2?socket_timeout=3", {"username": "user", "password": "p@ss", "db": 2}),
        ("rediss://h:1?ssl_ca_certs=file", {"connection_class": SSLConnection, "ssl_ca_certs": "file"}),
        ("unix:///path", {"connection_class": UnixDomainSocketConnection, "path": "/path"}),
    ],
)
def test_parse_url__url__arguments(url: str, arguments: dict[str, Any]) -> None:
    parsed = parse_url(url)  # type: ignore[no-untyped-call]
    assert {name: parsed.get(name) for name in arguments} == arguments


def test_parse_url__other_scheme__value_error() -> None:
    with pytest.raises(ValueError, match="scheme"):
        parse_url("http://h")  # type: ignore[no-untyped-call]


class LocalConnection(Connection):
    """A connection to no server."""

    def _connect(self) -> Any:
        return None

    def on_connect(self) -> None:
        raise AssertionError("It is called though there is a redis_connect_func.")


def test_redis_connect_func__connection__is_called_in_place_of_on_connect() -> None:
    connected: list[Any] = []
    connection = LocalConnection(redis_connect_func=connected.append)
    connection.connect_check_health(check_health=False)
    assert connected == [connection]


def test_redis_connect_func__cluster__has_one_of_its_own_that_calls_both() -> None:
    calls = []

    class ClusterConnection:
        def on_connect(self) -> None:
            calls.append("on_connect")

        def __getattr__(self, name: str) -> Any:
            return lambda *args, **kwargs: b"OK"

    cluster = RedisCluster.__new__(RedisCluster)
    cluster.user_on_connect_func = lambda connection: calls.append("redis_connect_func")
    cluster.read_from_replicas = False
    cluster.load_balancing_strategy = None
    cluster.on_connect(ClusterConnection())  # type: ignore[no-untyped-call]
    assert calls == ["on_connect", "redis_connect_func"]
