"""For whoever watches the process: a load balancer, an orchestrator. Anybody may call it; it says nothing secret."""

import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

import structlog
from django.db import Error, OperationalError, ProgrammingError, connection
from django.http import HttpRequest, JsonResponse

from realtime import bus, hosts
from realtime.external.intake import PLAIN, Surroundings, plain
from realtime.http import drain
from realtime.monitoring import liveness as realtime_liveness
from realtime.types import Application, EnvironmentKey, Message, Receive, Scope, Send

logger = structlog.get_logger(__name__)

LIVENESS = ("/health/liveness", "/health/liveness/")
"""Flagsmith's Helm chart and its task processor ask with the slash."""

READINESS = ("health", "health/", "health/readiness", "health/readiness/")
"""Paths of ``readiness``, as Django has them. Flagsmith's own SSE server has ``/health`` alone."""

NOBODYS = EnvironmentKey("-")

_seen = False
"""Whether the tables were there once."""

HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}

# Seconds in which the database has to answer readiness. Orchestrators often wait no longer than five.
DATABASE_SECONDS = 2.0

NO_ANSWER = "the database does not answer"


def ahead_of(django: Application, surroundings: Callable[[Scope], Surroundings | None] = plain) -> Application:
    """The application that answers ``health/liveness`` in the event loop itself, and lets Django answer the rest.

    200 while all that has to get on in this server's processes does, 503 with what does not. It needs no database and
    no thread: neither may keep it from telling of a third. ``surroundings`` says what the project adds to an answer;
    where it would have refused the request (an orchestrator asks by address, not by a name in ALLOWED_HOSTS), nothing.
    """

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] not in LIVENESS or scope["method"] not in ("GET", "HEAD"):
            await django(scope, receive, send)
            return
        problems = realtime_liveness.current().problems()
        body = json.dumps(problems or {"status": "ok"}).encode()
        around = surroundings({**scope, "method": "GET"}) or PLAIN
        headers = around.beside(HEADERS, body)
        await send({"type": "http.response.start", "status": 503 if problems else 200, "headers": headers})
        await send({"type": "http.response.body", "body": body if scope["method"] == "GET" else b""})

    return application


def liveness(request: HttpRequest) -> JsonResponse:
    """200 while the process answers requests: all that can be said where there is no event loop (WSGI)."""
    return JsonResponse({"status": "ok"})


def readiness(request: HttpRequest) -> JsonResponse:
    """200 when new clients may be sent here; 503 while the database is away or has no tables yet, and once the process
    is shutting down.

    A bus that is away is no reason to send them elsewhere: what it does not bring the reconcile does, about a second
    later. The status is "degraded" then.
    """
    health = bus.health()
    problems = {}
    if drain.in_progress():
        problems["drain"] = "the process is shutting down"
    if problem := _database_check.problem():
        problems["database"] = problem
    told: dict[str, Any] = dict(problems) or {"status": "degraded" if health.degraded else "ok"}
    told["bus"] = {
        "name": health.name,
        "connected": health.connected,
        "since": health.since and health.since.isoformat(),
        "reconnects": health.reconnects,
    }
    return JsonResponse(told, status=503 if problems else 200)


class _DatabaseCheck:
    """The check of the database, in a thread of its own: a database that hangs holds up this thread alone.

    Callers share the check that is under way.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="readiness")
        self._lock = Lock()
        self._under_way: Future[str | None] | None = None

    def problem(self) -> str | None:
        """The database's problem, if it has one, within ``DATABASE_SECONDS``."""
        with self._lock:
            if self._under_way is None or self._under_way.done():
                self._under_way = self._thread.submit(_problem_of_database)
            check = self._under_way
        try:
            return check.result(DATABASE_SECONDS)
        except TimeoutError:
            logger.warning("database_unreachable", error=f"no answer within {DATABASE_SECONDS:g} s")
            return NO_ANSWER


_database_check = _DatabaseCheck()


def _problem_of_database() -> str | None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return None if _has_tables() else "it has no tables yet: manage.py migrate makes them"
    except Error as error:
        logger.warning("database_unreachable", error=repr(error))
        return NO_ANSWER
    finally:
        connection.close()


def _has_tables() -> bool:
    """Whether a new stream finds what it asks for. Not asked again once it is so: tables stay, and whoever changes one
    locks it, which is no reason to send clients elsewhere."""
    global _seen
    if not _seen:
        try:
            # Nobody has this key, so it is looked for wherever there are environments.
            hosts.current().states([NOBODYS])
        except (ProgrammingError, OperationalError) as error:
            logger.warning("tables_missing", error=repr(error))
            return False
        _seen = True
    return True
