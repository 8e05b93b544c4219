"""Health endpoints for load balancers and orchestrators. They need no authentication."""

import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, NamedTuple

import structlog
from django.db import Error, OperationalError, ProgrammingError, connection
from django.http import HttpRequest, JsonResponse

from realtime import bus, hosts
from realtime.http import drain
from realtime.http.added_headers import PLAIN, AddedHeaders, plain
from realtime.monitoring import liveness as realtime_liveness
from realtime.serving import command_line
from realtime.types import Application, EnvironmentKey, Message, Receive, Scope, Send

logger = structlog.get_logger(__name__)

LIVENESS = ("/health/liveness", "/health/liveness/")
"""Flagsmith's Helm chart and its task processor request it with the slash."""

READINESS = ("health", "health/", "health/readiness", "health/readiness/")
"""Paths of ``readiness``, as in Django's URL configuration. Flagsmith's own SSE server has only ``/health``."""

NO_ENVIRONMENT = EnvironmentKey("-")

_has_tables = False
"""Whether a check has found the tables."""

HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}

# The timeout of the database's check. Orchestrators often time out after five seconds.
DATABASE_TIMEOUT_SECONDS = 2.0

NO_ANSWER = "the database does not answer"


class Part(NamedTuple):
    """The state of a further part of the server, for ``readiness``."""

    report: Any
    problem: str | None = None
    """Why the server is not ready."""

    is_degraded: bool = False


parts: dict[str, Callable[[], Part]] = {}
"""Checks of further parts by name, which a server adds."""


def with_liveness(
    django: Application, middleware_headers: Callable[[Scope], AddedHeaders | None] = plain
) -> Application:
    """ASGI middleware that handles ``health/liveness`` in the event loop.

    200 while all parts of this server's processes make progress, 503 with those that do not. It needs no database and
    no thread, so that it works when they hang. ``middleware_headers`` returns the headers that the project adds to the
    response. If the project would reject the request, because an orchestrator's Host is an address that is not in
    ALLOWED_HOSTS, none are added.
    """

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] not in LIVENESS or scope["method"] not in ("GET", "HEAD"):
            await django(scope, receive, send)
            return
        problems = realtime_liveness.current().problems()
        body = json.dumps(problems or {"status": "ok"}).encode()
        added = middleware_headers({**scope, "method": "GET"}) or PLAIN
        headers = added.merge(HEADERS, body)
        await send({"type": "http.response.start", "status": 503 if problems else 200, "headers": headers})
        await send({"type": "http.response.body", "body": body if scope["method"] == "GET" else b""})

    return application


def liveness(request: HttpRequest) -> JsonResponse:
    """The liveness view for servers without an event loop (WSGI): always 200."""
    return JsonResponse({"status": "ok"})


def readiness(request: HttpRequest) -> JsonResponse:
    """200 if the process can serve new clients. 503 while the database is away or has no tables, and during a shutdown.

    While the bus is away the status is 200, "degraded": the reconcile delivers the events about a second later. If the
    store of posted versions is Redis, the status is 503 until it has been read once, and 200, "degraded", while it is
    away later: streams continue, and posts get 503.
    """
    health, store = bus.health(), hosts.current().posted.health()
    problems: dict[str, str] = {}
    if drain.in_progress():
        problems["drain"] = "the process is shutting down"
    if store is not None and not store.has_been_read:
        problems["store"] = f"{store.name} has not been read since the start of this process"
    if command_line.has_database() and (problem := _database_check.problem()):
        problems["database"] = problem
    others = {name: check() for name, check in parts.items()}
    problems |= {name: part.problem for name, part in others.items() if part.problem is not None}
    is_degraded = health.degraded or (store is not None and not store.is_available)
    is_degraded = is_degraded or any(part.is_degraded for part in others.values())
    report: dict[str, Any] = dict(problems) or {"status": "degraded" if is_degraded else "ok"}
    report["bus"] = {
        "name": health.name,
        "connected": health.connected,
        "since": health.since and health.since.isoformat(),
        "reconnects": health.reconnects,
    }
    if not problems:
        report |= {name: part.report for name, part in others.items()}
    if store is not None and not problems:
        report["store"] = {"name": store.name, "available": store.is_available, "since": store.since.isoformat()}
    return JsonResponse(report, status=503 if problems else 200)


class _DatabaseCheck:
    """The database's check, in a thread of its own, because the database may hang. Concurrent callers share a check."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._under_way: Future[str | None] | None = None

    def problem(self) -> str | None:
        """The database's problem, or None, within ``DATABASE_TIMEOUT_SECONDS``."""
        with self._lock:
            if self._under_way is None or self._under_way.done():
                thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="readiness")
                self._under_way = thread.submit(_problem_of_database)
                # The thread ends after the check.
                thread.shutdown(wait=False)
            check = self._under_way
        try:
            return check.result(DATABASE_TIMEOUT_SECONDS)
        except TimeoutError:
            logger.warning("database_unreachable", error=f"no answer within {DATABASE_TIMEOUT_SECONDS:g} s")
            return NO_ANSWER


_database_check = _DatabaseCheck()


def _problem_of_database() -> str | None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return None if _check_tables() else "it has no tables yet: manage.py migrate makes them"
    except Error as error:
        logger.warning("database_unreachable", error=repr(error))
        return NO_ANSWER
    finally:
        connection.close()


def _check_tables() -> bool:
    """Whether the tables that a new stream reads exist. Checked until they do: a migration may lock them later, and
    that is no reason to be unready."""
    global _has_tables
    if not _has_tables:
        try:
            # No environment has this key, so all tables of environments are read.
            hosts.current().states([NO_ENVIRONMENT])
        except (ProgrammingError, OperationalError) as error:
            logger.warning("tables_missing", error=repr(error))
            return False
        _has_tables = True
    return True
