"""For whoever watches the process: a load balancer, an orchestrator. Anybody may call it; it says nothing secret."""

import structlog
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse

from realtime import drain

logger = structlog.get_logger(__name__)


def liveness(request: HttpRequest) -> JsonResponse:
    """200 while the process answers requests."""
    return JsonResponse({"status": "ok"})


def readiness(request: HttpRequest) -> JsonResponse:
    """200 when new clients may be sent here; 503 while the database is away, and once the process is shutting down."""
    problems = {}
    if drain.in_progress():
        problems["drain"] = "the process is shutting down"
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        logger.warning("database_unreachable", error=repr(error))
        problems["database"] = "the database does not answer"
    return JsonResponse(problems or {"status": "ok"}, status=503 if problems else 200)
