"""Converts a Redis URL to arguments of ``redis.Redis``, the form of django-eventstream's setting."""

import os
import ssl
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from realtime import extras

SENTINEL = "redis+sentinel"


def url() -> str:
    """The value of ``REDIS_URL``; empty without Redis."""
    return os.environ.get("REDIS_URL", "").strip()


def from_environment() -> dict[str, Any] | None:
    """The arguments for ``REDIS_URL``; None if it is not set. Raises ImproperlyConfigured."""
    return arguments(url()) if url() else None


def settings(url: str) -> dict[str, Any]:
    """The Django settings for a URL, which may also be ``redis+sentinel://user:password@host:port,host/service/db``."""
    if not url.startswith(f"{SENTINEL}://"):
        return {"EVENTSTREAM_REDIS": arguments(url)}
    parts = urlsplit(url)
    credentials, _, addresses = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    if not service or not addresses or (database and not database.isdecimal()):
        raise ImproperlyConfigured(f"REDIS_URL must be {SENTINEL}://:password@host:port,host:port/service.")
    username, _, password = credentials.partition(":")
    return {
        "EVENTSTREAM_REDIS": {
            # Of no use: the Sentinels have the address.
            "host": addresses.split(",")[0].partition(":")[0],
            "port": 6379,
            "username": unquote(username) or None,
            "password": unquote(password) or None,
            "db": int(database or 0),
        },
        "REALTIME_REDIS_SENTINELS": addresses,
        "REALTIME_REDIS_SERVICE": service,
    }


def arguments(url: str) -> dict[str, Any]:
    """The arguments for a ``redis://``, ``rediss://`` (TLS) or ``unix://`` URL. Raises ImproperlyConfigured.

    Timeouts are only among them if they are in the URL's query: those who connect have defaults.
    """
    if problem := extras.problem("redis", "redis"):
        raise ImproperlyConfigured(f"REDIS_URL cannot be used. {problem}")
    from redis import Redis

    from realtime.compat import redis as compat

    try:
        parsed = compat.url_arguments(url)
    except ValueError:
        # Without the URL, which may contain a password.
        raise ImproperlyConfigured(
            "REDIS_URL must be redis://:password@host:port/number, rediss:// for TLS, or unix://path."
        ) from None
    try:
        # It does not connect.
        Redis(**parsed)
    except TypeError as error:
        raise ImproperlyConfigured(f"REDIS_URL has an unknown option: {error}.") from None
    if problem := problem_of_certificates(parsed):
        raise ImproperlyConfigured(f"REDIS_URL: {problem}")
    return parsed


def problem_of_certificates(arguments: dict[str, Any]) -> str | None:
    """The reason why the files of certificates cannot be used; None if they can, or if there are none."""
    authority, certificate = arguments.get("ssl_ca_certs"), arguments.get("ssl_certfile")
    if not authority and not certificate:
        return None
    try:
        context = ssl.create_default_context(cafile=authority)
        if certificate:
            context.load_cert_chain(certificate, arguments.get("ssl_keyfile"), arguments.get("ssl_password"))
    except OSError as error:
        names = " or ".join(filter(None, (authority, certificate)))
        return f"{names} cannot be read as certificates in PEM format ({error.strerror or error})."
    return None
