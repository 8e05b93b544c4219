"""Converts a Redis URL to arguments of ``redis.Redis``, the form of django-eventstream's setting."""

import os
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from realtime import extras

# Timeouts of publishing and listening, in seconds. Both run in threads, so no request waits for them.
TIMEOUTS = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}


def url() -> str:
    """The value of ``REDIS_URL``; empty without Redis."""
    return os.environ.get("REDIS_URL", "").strip()


def from_environment() -> dict[str, Any] | None:
    """The arguments for ``REDIS_URL``; None if it is not set. Raises ImproperlyConfigured."""
    return arguments(url()) if url() else None


def arguments(url: str) -> dict[str, Any]:
    """The arguments for a ``redis://``, ``rediss://`` (TLS) or ``unix://`` URL.

    Parameters in the URL's query take precedence over ours. Raises ImproperlyConfigured.
    """
    if problem := extras.problem("redis", "redis"):
        raise ImproperlyConfigured(f"REDIS_URL cannot be used. {problem}")
    from redis.connection import SSLConnection, UnixDomainSocketConnection, parse_url

    try:
        parsed: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
    except ValueError:
        # Without the URL, which may contain a password.
        raise ImproperlyConfigured(
            "REDIS_URL must be redis://:password@host:port/number, rediss:// for TLS, or unix://path."
        ) from None
    kind = parsed.pop("connection_class", None)
    if kind is SSLConnection:
        parsed["ssl"] = True
    elif kind is UnixDomainSocketConnection:
        parsed["unix_socket_path"] = parsed.pop("path")
    return {**TIMEOUTS, **parsed}
