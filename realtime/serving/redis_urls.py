"""Redis by URL, in the words of django-eventstream's setting: the arguments of ``redis.Redis``."""

import os
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from realtime import extras

# Seconds that whoever publishes or listens waits for a Redis that does not answer. Never a request: threads do that.
PATIENCE = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}


def url() -> str:
    """What ``REDIS_URL`` says; empty: there is no Redis."""
    return os.environ.get("REDIS_URL", "").strip()


def from_environment() -> dict[str, Any] | None:
    """The arguments for the Redis that ``REDIS_URL`` names; None: it names none. Raises ImproperlyConfigured."""
    return arguments(url()) if url() else None


def arguments(url: str) -> dict[str, Any]:
    """The arguments for ``redis://``, ``rediss://`` (TLS) and ``unix://``; what the URL's query says goes first.

    Raises ImproperlyConfigured.
    """
    if problem := extras.problem("redis", "redis"):
        raise ImproperlyConfigured(f"REDIS_URL cannot be used. {problem}")
    from redis.connection import SSLConnection, UnixDomainSocketConnection, parse_url

    try:
        told: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
    except ValueError:
        # Not the URL itself: a password may stand in it.
        raise ImproperlyConfigured(
            "REDIS_URL must be redis://:password@host:port/number, rediss:// for TLS, or unix://path."
        ) from None
    kind = told.pop("connection_class", None)
    if kind is SSLConnection:
        told["ssl"] = True
    elif kind is UnixDomainSocketConnection:
        told["unix_socket_path"] = told.pop("path")
    return {**PATIENCE, **told}
