"""redis-py (tested: 8.1.0, 8.2.0): a URL as arguments of a client, and a call for each new connection.

Public are the clients with their arguments. Also used:

* ``parse_url``: ``Redis.from_url`` makes a client at once, and not the arguments, to which others are added;
* ``redis_connect_func``: it is called in place of a connection's ``on_connect``, which it has to call. A client of a
  cluster has a function of its own, which calls both.
"""

from collections.abc import Callable
from typing import Any

from redis.connection import SSLConnection, UnixDomainSocketConnection, parse_url


def url_arguments(url: str) -> dict[str, Any]:
    """The arguments of ``redis.Redis`` for a URL. Raises ValueError."""
    arguments: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
    kind = arguments.pop("connection_class", None)
    if kind is SSLConnection:
        arguments["ssl"] = True
    elif kind is UnixDomainSocketConnection:
        arguments["unix_socket_path"] = arguments.pop("path")
    return arguments


def connect_arguments(on_connect: Callable[[], None], *, is_cluster: bool) -> dict[str, Any]:
    """The argument of a client that calls ``on_connect`` for each new connection, in the thread that needs it."""

    def connected(connection: Any) -> None:
        if not is_cluster:
            connection.on_connect()
        on_connect()

    return {"redis_connect_func": connected}
