"""Environment variables of Flagsmith's own SSE server: each becomes a setting, or gets a notice that it has no effect.

REDIS_HOST, REDIS_PORT, REDIS_USERNAME, REDIS_PASSWORD, REDIS_USE_SSL, USE_CLUSTER_MODE, REDIS_SCAN_COUNT,
CACHE_UPDATE_INTERVAL_SECONDS, MAX_STREAM_AGE and STREAM_DELAY. Ours take precedence: REDIS_URL, and settings that begin
with ``REALTIME_``.
"""

import os
import re
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from realtime import extras
from realtime.serving import environment, redis_urls

NAMES = ("REDIS_HOST", "REDIS_PORT", "REDIS_USERNAME", "REDIS_PASSWORD", "REDIS_CA_FILE")
SWITCHES = ("REDIS_USE_SSL", "USE_CLUSTER_MODE")

MAX_PORT = 65_535

# Kubernetes sets REDIS_PORT to such a value in each container, if there is a Service with the name "redis".
KUBERNETES_PORT = "tcp://"

# A negative MAX_STREAM_AGE: streams have no maximum age.
ENDLESS_SECONDS = 10 * 365 * 86_400.0

NO_EFFECT = {
    "REDIS_SCAN_COUNT": "this server reads what has changed, and never scans Redis",
    "STREAM_DELAY": "an event is sent to the streams when it arrives",
}

RENAMED = {
    "MAX_STREAM_AGE": "REALTIME_STREAM_SECONDS",
    "CACHE_UPDATE_INTERVAL_SECONDS": "REALTIME_RECONCILE_SECONDS",
}


def is_set(name: str) -> bool:
    value = os.environ.get(name, "").strip()
    return bool(value) and not (name == "REDIS_PORT" and value.startswith(KUBERNETES_PORT))


def redis_variable() -> str | None:
    """The variable that names a Redis; None without Redis."""
    if is_set("REDIS_URL"):
        return "REDIS_URL"
    for name in NAMES:
        if is_set(name):
            return "REDIS_HOST"
    return "REDIS_HOST" if any(environment.flag(name) for name in SWITCHES) else None


def redis_settings() -> dict[str, Any]:
    """The settings of the Redis that the variables name; empty without Redis. Raises ImproperlyConfigured."""
    variable = redis_variable()
    if variable is None:
        return {}
    if problem := extras.problem("redis", "redis"):
        raise ImproperlyConfigured(f"{variable} cannot be used. {problem}")
    is_cluster = environment.flag("USE_CLUSTER_MODE")
    from_url = variable == "REDIS_URL"
    settings: dict[str, Any] = redis_urls.settings(redis_urls.url()) if from_url else {"EVENTSTREAM_REDIS": _parts()}
    if is_cluster:
        if settings["EVENTSTREAM_REDIS"].get("db"):
            raise ImproperlyConfigured("USE_CLUSTER_MODE: a cluster has only the database 0. Remove it from REDIS_URL.")
        if "REALTIME_REDIS_SENTINELS" in settings:
            raise ImproperlyConfigured("USE_CLUSTER_MODE: a cluster has no Sentinels. Name a node of it in REDIS_URL.")
        settings["REALTIME_REDIS_CLUSTER"] = True
    return settings


def stream_settings() -> dict[str, float]:
    """The settings that MAX_STREAM_AGE and CACHE_UPDATE_INTERVAL_SECONDS become. Raises ImproperlyConfigured."""
    settings: dict[str, float] = {}
    for name, setting in RENAMED.items():
        if is_set(name) and not is_set(setting):
            settings[setting] = _stream_age() if name == "MAX_STREAM_AGE" else environment.seconds(name, 1.0)
    return settings


def notices() -> dict[str, str]:
    """The variables that are set but have no effect, each with the reason."""
    found = {name: reason for name, reason in NO_EFFECT.items() if is_set(name)}
    found |= {name: f"{setting} is set" for name, setting in RENAMED.items() if is_set(name) and is_set(setting)}
    if os.environ.get("REDIS_PORT", "").strip().startswith(KUBERNETES_PORT):
        found["REDIS_PORT"] = "Kubernetes has set it for a Service; the default applies, 6379"
    if is_set("REDIS_URL"):
        found |= {name: "REDIS_URL is set" for name in (*NAMES, "REDIS_USE_SSL") if is_set(name)}
    elif redis_variable() is None:
        found |= {name: "no Redis is configured: REDIS_HOST is missing" for name in SWITCHES if is_set(name)}
    return dict(sorted(found.items()))


def explanation(error: BaseException) -> str | None:
    """The variable to correct, for an error of Redis that no retry cures; None for others."""
    is_url = is_set("REDIS_URL")
    text = " ".join(str(error).split()) or type(error).__name__
    kind = type(error).__name__
    if kind.startswith("Authentication") or re.search("NOAUTH|WRONGPASS", text):
        names = "REDIS_URL" if is_url else "REDIS_PASSWORD or REDIS_USERNAME"
        return f"{names} is wrong or missing: {text}"
    if kind == "NoPermissionError" or "NOPERM" in text:
        user = "The user in REDIS_URL" if is_url else "The user REDIS_USERNAME"
        return f"{user} may not use Redis as this server does (docs/settings.md has the ACL): {text}"
    if re.search("CERTIFICATE_VERIFY_FAILED", text):
        remedy = "add ?ssl_ca_certs=FILE to REDIS_URL" if is_url else "set REDIS_CA_FILE"
        return f"Redis's certificate is not trusted: {remedy}, the file of its certificate authority. {text}"
    if re.search(r"SSL|WRONG_VERSION_NUMBER|record layer", text):
        remedy = "use redis:// in REDIS_URL" if is_url else "set REDIS_USE_SSL=false"
        return f"Redis does not answer with TLS: {remedy}, or the port of TLS. {text}"
    if re.search(r"cluster (mode|support).*(not enabled|disabled)", text, re.IGNORECASE):
        return f"USE_CLUSTER_MODE is true, and this Redis is not a cluster: {text}"
    if "DB index is out of range" in text:
        return f"REDIS_URL has a database number that this Redis does not have: {text}."
    if kind == "MovedError" or "MOVED" in text:
        return "USE_CLUSTER_MODE is not true, and this Redis is a node of a cluster."
    if re.search("Connection closed by server|Connection reset", text):
        variable = "REDIS_URL (rediss:// for TLS)" if is_url else "REDIS_HOST, REDIS_PORT and REDIS_USE_SSL"
        return f"Redis closes the connection. Check {variable}: {text}"
    return None


def _parts() -> dict[str, Any]:
    """The arguments of ``redis.Redis`` from Flagsmith's variables."""
    environ = os.environ
    host = environ.get("REDIS_HOST", "").strip() or "localhost"
    port = environment.integer("REDIS_PORT", 6379) if is_set("REDIS_PORT") else 6379
    # An IPv6 address has more than one colon.
    if "/" in host or host.count(":") == 1:
        raise ImproperlyConfigured(
            "REDIS_HOST must be a name or an address. REDIS_PORT is for the port, REDIS_URL for a URL."
        )
    if port > MAX_PORT:
        raise ImproperlyConfigured(f"REDIS_PORT must be {MAX_PORT} or less, not {port}.")
    parts: dict[str, Any] = {
        "host": host,
        "port": port,
        "username": environ.get("REDIS_USERNAME") or None,
        "password": environ.get("REDIS_PASSWORD") or None,
    }
    if environment.flag("REDIS_USE_SSL"):
        parts["ssl"] = True
        if is_set("REDIS_CA_FILE"):
            parts["ssl_ca_certs"] = environ["REDIS_CA_FILE"].strip()
            if problem := redis_urls.problem_of_certificates(parts):
                raise ImproperlyConfigured(f"REDIS_CA_FILE: {problem}")
    elif is_set("REDIS_CA_FILE"):
        raise ImproperlyConfigured("REDIS_CA_FILE needs REDIS_USE_SSL=true.")
    return parts


def _stream_age() -> float:
    text = os.environ["MAX_STREAM_AGE"].strip()
    if re.fullmatch(r"-[0-9.]+", text):
        return ENDLESS_SECONDS
    return environment.seconds("MAX_STREAM_AGE", ENDLESS_SECONDS)
