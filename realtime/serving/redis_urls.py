"""Redis by URL, in the words of django-eventstream's setting: the arguments of ``redis.Redis``."""

from typing import Any

# Seconds that whoever publishes or listens waits for a Redis that does not answer. Never a request: threads do that.
PATIENCE = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}


def arguments(url: str) -> dict[str, Any]:
    """The arguments for ``redis://``, ``rediss://`` (TLS) and ``unix://``; what the URL's query says goes first."""
    from redis.connection import SSLConnection, UnixDomainSocketConnection, parse_url

    told: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
    kind = told.pop("connection_class", None)
    if kind is SSLConnection:
        told["ssl"] = True
    elif kind is UnixDomainSocketConnection:
        told["unix_socket_path"] = told.pop("path")
    return {**PATIENCE, **told}
