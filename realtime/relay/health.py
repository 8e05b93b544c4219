"""Health of a relay: the Edge Proxy's endpoints with its rules, the part of ``readiness``, and the version."""

import time
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from realtime.answers import Answer, Headers, http_head
from realtime.relay import environments
from realtime.relay.environments import Environment
from realtime.relay.responding import NOSNIFF, Response, encode, json_answer
from realtime.serving.health import Part
from realtime.types import Application, Message, Receive, Send

# The Edge Proxy's paths, with one that it calls deprecated.
EDGE_PROXY_HEALTH = ("/proxy/health", "/proxy/health/readiness", "/health")
EDGE_PROXY_LIVENESS = "/proxy/health/liveness"
VERSION = "/version"

NO_STORE: Headers = (("Cache-Control", "no-store"),)

ALIVE = Response(http_head(200, [(b"cache-control", b"no-store"), NOSNIFF, (b"content-length", b"0")]), b"")

# Environments that are listed by name.
MAX_LISTED = 20

# Answers after which the configuration has to be changed: they do not make the other environments unavailable.
REJECTED = ("unauthorized", "foreign", "invalid")


def with_health(application: Application) -> Application:
    """ASGI middleware that responds to these requests."""

    async def call(scope: Message, receive: Receive, send: Send) -> None:
        path = scope["path"].rstrip("/")
        response: Response | None = None
        if scope["method"] in ("GET", "HEAD"):
            if path in EDGE_PROXY_HEALTH:
                response = encode(edge_proxy_health(), b"")
            elif path == EDGE_PROXY_LIVENESS:
                response = ALIVE
            elif path == VERSION:
                response = encode(json_answer(200, version()), b"")
        if response is None:
            await application(scope, receive, send)
        else:
            await (response._replace(body=b"") if scope["method"] == "HEAD" else response).send(send)

    return call


def edge_proxy_health() -> Answer:
    """503 until all documents have been fetched, and if one has not been confirmed for longer than the grace period."""
    current = environments.current()
    confirmed = [environment.confirmed_at for environment in current.by_client_key.values()] if current else [0.0]
    last_successful_update = min(confirmed, default=time.time())
    status, reason = 200, None
    if not last_successful_update or current is None:
        status, reason = 503, "environment document(s) not updated."
    else:
        configuration = current.configuration
        grace = configuration.health_check.environment_update_grace_period_seconds
        if grace is not None:
            allowed = configuration.api_poll_frequency_seconds + grace * len(confirmed)
            if last_successful_update < time.time() - allowed:
                status, reason = 503, "environment document(s) stale."
    content = {
        "status": "ok" if status == 200 else "error",
        "reason": reason,
        "last_successful_update": _iso(last_successful_update),
        "failing": _failing(list(current.by_client_key.values())) if current is not None else {},
    }
    return json_answer(status, content, NO_STORE)


def documents() -> Part:
    """The documents, for ``readiness``. Old ones are served, so only a missing one is a problem."""
    current = environments.current()
    if current is None:
        return Part(None, "the relay has not started")
    every = list(current.by_client_key.values())
    missing = [environment for environment in every if environment.held is None]
    failing = _failing(every)
    waiting = [each for each in missing if each.problem is None or each.problem.result not in REJECTED]
    if len(missing) == len(every):
        waiting = missing
    report: dict[str, Any] = {
        "environments": len(every),
        "missing": [environment.key for environment in missing[:MAX_LISTED]],
        "failing": failing,
        "oldest": _oldest(every),
    }
    problem = f"no document of {len(waiting)} of {len(every)} environments: {_reasons(waiting)}" if waiting else None
    return Part(report, problem, is_degraded=bool(failing or missing))


def _oldest(every: list[Environment]) -> dict[str, Any] | None:
    held = [environment for environment in every if environment.held is not None]
    if not held:
        return None
    oldest = min(held, key=lambda environment: environment.confirmed_at)
    assert oldest.held is not None
    return {
        "environment": oldest.key,
        "updated_at": oldest.held.version.isoformat(),
        "age_seconds": round(max(0.0, time.time() - oldest.confirmed_at), 1),
    }


def _failing(every: list[Environment]) -> dict[str, str]:
    """The last failures by client-side key."""
    failing = [(each.key, each.problem.summary) for each in every if each.problem is not None]
    return dict(failing[:MAX_LISTED])


def _reasons(waiting: list[Environment]) -> str:
    return ", ".join(sorted({each.problem.result if each.problem else "not fetched yet" for each in waiting}))


def version() -> dict[str, Any]:
    """In Flagsmith's format."""
    try:
        release = metadata.version("flagsmith-realtime")
    except metadata.PackageNotFoundError:
        release = "unknown"
    return {
        "ci_commit_sha": "unknown",
        "image_tag": release,
        "has_email_provider": False,
        "is_enterprise": False,
        "is_saas": False,
        "package_versions": {".": release},
    }


def _iso(seconds: float) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else None
