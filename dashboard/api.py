"""In-process calls to the Admin API as the signed-in user.

A page that changes something makes the same call as a script, so permissions, validation, locks, the audit log and
events are those of the API's own views.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import resolve
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.utils.encoders import JSONEncoder

API_ROOT = "/api/v1/"

# Django REST framework's public interface to call a view as a given user. drf-spectacular imports the module anyway.
FACTORY = APIRequestFactory()

# Prefixes of the browser request's META entries that are copied to the call, and the headers that are not.
FORWARDED_PREFIXES = ("HTTP_", "REMOTE_", "SERVER_")
NOT_FORWARDED = ("HTTP_ACCEPT", "HTTP_AUTHORIZATION", "HTTP_CONTENT_ENCODING", "HTTP_COOKIE", "HTTP_TRANSFER_ENCODING")

# Keys of Django REST framework's errors that belong to no field.
NON_FIELD_KEYS = ("detail", "non_field_errors", "message", "error")


@dataclass(frozen=True)
class APIResponse:
    """A response of the API. ``data`` is the body before it is encoded as JSON."""

    status: int
    data: Any
    retry_after: str = ""
    """The header ``Retry-After`` in seconds, of a 429 or 503."""

    @property
    def ok(self) -> bool:
        return self.status < HTTPStatus.BAD_REQUEST

    @property
    def errors(self) -> dict[str, list[str]]:
        """The error messages by field name; "" has those that belong to no field."""
        errors: dict[str, list[str]] = {}
        for field, text in () if self.ok else _flatten(self.data):
            errors.setdefault("" if field in NON_FIELD_KEYS else field, []).append(text)
        return errors

    @property
    def non_field_error(self) -> str:
        """The messages that belong to no field, as one text."""
        return " ".join(self.errors.get("", []))

    @property
    def message(self) -> str:
        """All messages as one text, each with its field's name."""
        lines = (
            " ".join(texts) if not field else f"{field}: {' '.join(texts)}" for field, texts in self.errors.items()
        )
        return " ".join(lines) or ("" if self.ok else HTTPStatus(self.status).phrase)


def call(
    request: HttpRequest,
    method: str,
    path: str,
    body: Any = None,
    *,
    query: dict[str, Any] | None = None,
    upload: dict[str, Any] | None = None,
) -> APIResponse:
    """Call a path below ``/api/v1/`` as the user of ``request``, or anonymously. Errors are returned, not raised.

    ``upload``: the fields and files of a ``multipart/form-data`` body, in place of a JSON ``body``.
    """
    meta = {
        name: value
        for name, value in request.META.items()
        if name.startswith(FORWARDED_PREFIXES) and name not in NOT_FORWARDED
    }
    content, content_type = _encoded(body, upload)
    inner = FACTORY.generic(
        method,
        path if path.startswith("/") else API_ROOT + path,
        content,
        content_type,
        secure=request.is_secure(),
        QUERY_STRING=urlencode(query or {}, doseq=True),
        **meta,
    )
    # The session has authenticated the user, so the call needs no token.
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        force_authenticate(inner, user)
    match = resolve(inner.path_info)
    inner.resolver_match = match
    response = match.func(inner, *match.args, **match.kwargs)
    return APIResponse(response.status_code, getattr(response, "data", None), response.headers.get("Retry-After", ""))


def _encoded(body: Any, upload: dict[str, Any] | None) -> tuple[Any, str]:
    """The body's bytes and type."""
    if upload is not None:
        return encode_multipart(BOUNDARY, upload), MULTIPART_CONTENT
    return "" if body is None else json.dumps(body, cls=JSONEncoder), "application/json"


def _flatten(data: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """Yield each message of nested errors with the path of its field: ``conditions.0.value``."""
    if isinstance(data, dict):
        for name, inner in data.items():
            yield from _flatten(inner, f"{field}.{name}" if field else str(name))
    elif isinstance(data, list | tuple):
        for index, inner in enumerate(data):
            yield from _flatten(inner, f"{field}.{index}" if isinstance(inner, dict | list) else field)
    elif data is not None:
        yield field, str(data)
