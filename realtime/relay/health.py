"""Health of a relay: the Edge Proxy's endpoints with its rules, the part of ``readiness``, and the version."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from realtime.answers import Headers, Response, http_head
from realtime.relay import environments
from realtime.relay.environments import Environment
from realtime.relay.responding import NOSNIFF, encode, json_answer
from realtime.serving.health import Part
from realtime.types import Application, Message, Receive, Send

NO_STORE: Headers = (("Cache-Control", "no-store"),)

ALIVE = Response(http_head(200, [(b"cache-control", b"no-store"), NOSNIFF, (b"content-length", b"0")]), b"")

# Environments that are listed by name.
MAX_LISTED = 20

# Answers after which the configuration has to be changed: they do not make the other environments unavailable.
REJECTED = ("unauthorized", "foreign", "invalid")


def with_health(application: Application) -> Application:
    """ASGI middleware that responds to requests for ``PAGES``."""

    async def call(scope: Message, receive: Receive, send: Send) -> None:
        page = PAGES.get(scope["path"].rstrip("/")) if scope["method"] in ("GET", "HEAD") else None
        if page is None:
            await application(scope, receive, send)
        else:
            await page().send(send, has_body=scope["method"] != "HEAD")

    return call


def edge_proxy_health() -> Response:
    """503 until all documents have been fetched, and if one has not been confirmed for longer than the grace period."""
    current = environments.current()
    every = list(current.by_client_key.values()) if current is not None else []
    updated_at = min((each.confirmed_at for each in every), default=time.time() if current is not None else 0.0)
    reason = None
    if not updated_at or current is None:
        reason = "environment document(s) not updated."
    else:
        grace = current.configuration.health_check.environment_update_grace_period_seconds
        seconds = current.configuration.api_poll_frequency_seconds
        if grace is not None and updated_at < time.time() - seconds - grace * len(every):
            reason = "environment document(s) stale."
    content = {
        "status": "error" if reason else "ok",
        "reason": reason,
        "last_successful_update": datetime.fromtimestamp(updated_at, UTC).isoformat() if updated_at else None,
        "failing": _failing(every),
    }
    return encode(json_answer(503 if reason else 200, content, NO_STORE), b"")


def documents() -> Part:
    """The documents, for ``readiness``. Old ones are served, so only a missing one is a problem."""
    current = environments.current()
    if current is None:
        return Part(None, "the relay has not started")
    every = list(current.by_client_key.values())
    missing = [environment for environment in every if environment.held is None]
    waiting = [each for each in missing if each.problem is None or each.problem.result not in REJECTED]
    if len(missing) == len(every):
        waiting = missing
    report: dict[str, Any] = {
        "environments": len(every),
        "missing": [environment.key for environment in missing[:MAX_LISTED]],
        "failing": _failing(every),
        "oldest": _oldest(every),
    }
    reasons = ", ".join(sorted({each.problem.result if each.problem else "not fetched yet" for each in waiting}))
    problem = f"no document of {len(waiting)} of {len(every)} environments: {reasons}" if waiting else None
    return Part(report, problem, is_degraded=bool(report["failing"] or missing))


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


def version() -> Response:
    """In Flagsmith's format."""
    try:
        release = metadata.version("flagsmith-realtime")
    except metadata.PackageNotFoundError:
        release = "unknown"
    content = {
        "ci_commit_sha": "unknown",
        "image_tag": release,
        "has_email_provider": False,
        "is_enterprise": False,
        "is_saas": False,
        "package_versions": {".": release},
    }
    return encode(json_answer(200, content), b"")


# The Edge Proxy's paths, with one that it calls deprecated, and Flagsmith's.
PAGES: dict[str, Callable[[], Response]] = {
    "/proxy/health": edge_proxy_health,
    "/proxy/health/readiness": edge_proxy_health,
    "/health": edge_proxy_health,
    "/proxy/health/liveness": lambda: ALIVE,
    "/version": version,
}
