"""Every failure as JSON in Django REST framework's shape, whoever raised it."""

from typing import Any

import structlog
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import OperationalError, transaction
from django.http import HttpRequest, JsonResponse
from rest_framework.exceptions import ParseError
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from core.parsers import BodyTooLarge

logger = structlog.get_logger(__name__)

SERVER_ERROR = {"detail": "Something failed on our side. It has been logged."}
UNAVAILABLE = {"detail": "The database cannot answer at the moment. Try again."}
# Seconds. A failover takes longer; then the next answer says so again.
RETRY_AFTER = "1"
BAD_REQUEST = {"detail": "Bad request."}
TOO_MUCH = "The request holds more than is read."
NOT_FOUND = {"detail": "Not found."}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """Answer a view's exception. A failure of ours is logged here, once, with what is needed to find it."""
    if isinstance(error, RequestDataTooBig):  # Django's, from a body that something read before the parser did
        error = BodyTooLarge()
    elif isinstance(error, SuspiciousOperation):  # Django's too: a query of more than DATA_UPLOAD_MAX_NUMBER_FIELDS
        error = ParseError(TOO_MUCH)
    response = drf_exception_handler(error, context)
    if response is None:
        request = context["request"]
        logger.error("request_failed", method=request.method, path=request.path, exc_info=error)
        if transaction.get_connection().in_atomic_block:
            transaction.set_rollback(True)
        response = _failure(error)
    return response


def _failure(error: Exception) -> Response:
    """A database that is away, restarts, or is locked too long by others is no fault of the request or of the code."""
    if isinstance(error, OperationalError):
        return Response(UNAVAILABLE, status=503, headers={"Retry-After": RETRY_AFTER})
    return Response(SERVER_ERROR, status=500)


def bad_request(request: HttpRequest, exception: Exception) -> JsonResponse:
    """What Django refuses ahead of any view: a host that ``ALLOWED_HOSTS`` does not list."""
    return JsonResponse(BAD_REQUEST, status=400)


def not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    """A path that no view serves."""
    return JsonResponse(NOT_FOUND, status=404)


def server_error(request: HttpRequest) -> JsonResponse:
    """A failure outside of a view; Django has logged it."""
    return JsonResponse(SERVER_ERROR, status=500)
