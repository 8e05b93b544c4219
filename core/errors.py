"""Error responses: every failure as JSON in Django REST framework's format."""

import sys
from typing import Any, NamedTuple, Self

import structlog
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError, transaction
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect, JsonResponse
from django.urls import is_valid_path
from rest_framework.exceptions import APIException, ParseError
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from core.parsers import BodyTooLarge

logger = structlog.get_logger(__name__)

SERVER_ERROR = {"detail": "Something failed on our side. It has been logged."}
UNAVAILABLE = {"detail": "The database cannot answer at the moment. Try again."}
RETRY_AFTER = "1"  # seconds
BAD_REQUEST = {"detail": "Bad request."}
TOO_MANY_FIELDS = "The request has too many fields."
NOT_FOUND = {"detail": "Not found."}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """Turn a view's exception into a response. A failure of ours is logged here, once, with its request."""
    if isinstance(error, RequestDataTooBig):  # Django's, from a body that something read before the parser did
        error = BodyTooLarge()
    elif isinstance(error, SuspiciousOperation):  # Django's too: a query of more than DATA_UPLOAD_MAX_NUMBER_FIELDS
        error = ParseError(TOO_MANY_FIELDS)
    response = drf_exception_handler(error, context)
    if response is None:
        request = context["request"]
        logger.error("request_failed", method=request.method, path=request.path, exc_info=error)
        if transaction.get_connection().in_atomic_block:
            transaction.set_rollback(True)
        failure = Failure.of(error)
        response = Response(failure.data, failure.status, headers=failure.headers)
    return response


class Failure(NamedTuple):
    """The response to a failure of ours."""

    data: dict[str, str]
    status: int
    headers: dict[str, str]

    @classmethod
    def of(cls, error: BaseException | None) -> Self:
        """503 if the database is away, restarts, or is locked too long; else 500, or an APIException's own status."""
        if isinstance(error, APIException):
            wait = getattr(error, "wait", None)
            return cls({"detail": str(error.detail)}, error.status_code, {"Retry-After": str(wait)} if wait else {})
        if isinstance(error, OperationalError | InterfaceError):
            return cls(UNAVAILABLE, 503, {"Retry-After": RETRY_AFTER})
        return cls(SERVER_ERROR, 500, {})


def bad_request(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Handler for requests that Django rejects before any view, such as a host that is not in ``ALLOWED_HOSTS``."""
    return JsonResponse(BAD_REQUEST, status=400)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Handler for paths without a view. An API path that lacks only its last slash is redirected, as in Flagsmith.

    Only GET and HEAD: clients send a redirected POST as a GET, without its body.
    """
    path = request.path_info
    if request.method in ("GET", "HEAD") and path.startswith("/api/") and is_valid_path(f"{path}/"):
        return HttpResponsePermanentRedirect(request.get_full_path(force_append_slash=True))
    return JsonResponse(NOT_FOUND, status=404)


def server_error(request: HttpRequest) -> JsonResponse:
    """Handler for a failure outside of a view, such as no connection for its transaction. Django has logged it."""
    failure = Failure.of(sys.exception())
    return JsonResponse(failure.data, status=failure.status, headers=failure.headers)
