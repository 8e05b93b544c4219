"""The dashboard's calls to the Admin API: in this process, for the user who is signed in.

A page that changes something makes the call that a script would make, so there is one set of rules: permissions,
validation, locks, the audit log and events are those of the API's own views.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import resolve
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.utils.encoders import JSONEncoder

BELOW = "/api/v1/"

# The public way of Django REST framework to call a view for a known user. drf-spectacular imports the module anyway.
FACTORY = APIRequestFactory()

# The browser's request gives its headers and its addresses, apart from those that the call has its own of.
GIVEN = ("HTTP_", "REMOTE_", "SERVER_")
OWN = ("HTTP_ACCEPT", "HTTP_AUTHORIZATION", "HTTP_CONTENT_ENCODING", "HTTP_COOKIE", "HTTP_TRANSFER_ENCODING")

# Of errors in Django REST framework's shape: those that belong to no field.
GENERAL = ("detail", "non_field_errors", "message", "error")


@dataclass(frozen=True)
class Answer:
    """What the API says: ``data`` as a script would get it in JSON, but for not being encoded."""

    status: int
    data: Any
    retry_after: str = ""
    """Of a refusal for too many calls, or too much to do: in how many seconds the next one is worth it."""

    @property
    def ok(self) -> bool:
        return self.status < HTTPStatus.BAD_REQUEST

    @property
    def errors(self) -> dict[str, list[str]]:
        """Of a refusal: what is wrong, by the field's name; "" for what belongs to no field."""
        errors: dict[str, list[str]] = {}
        for field, text in () if self.ok else _texts(self.data):
            errors.setdefault("" if field in GENERAL else field, []).append(text)
        return errors

    @property
    def general(self) -> str:
        """Of a refusal: what is wrong with no field of its own, for people."""
        return " ".join(self.errors.get("", []))

    @property
    def message(self) -> str:
        """Of a refusal: all that is wrong, for people."""
        lines = (
            " ".join(texts) if not field else f"{field}: {' '.join(texts)}" for field, texts in self.errors.items()
        )
        return " ".join(lines) or ("" if self.ok else HTTPStatus(self.status).phrase)


def call(
    request: HttpRequest, method: str, path: str, body: Any = None, *, query: dict[str, Any] | None = None
) -> Answer:
    """Call the path below ``/api/v1/`` as the user of this page, or as nobody. A refusal is an answer, not an error."""
    meta = {name: value for name, value in request.META.items() if name.startswith(GIVEN) and name not in OWN}
    inner = FACTORY.generic(
        method,
        path if path.startswith("/") else BELOW + path,
        "" if body is None else json.dumps(body, cls=JSONEncoder),
        "application/json",
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
    return Answer(response.status_code, getattr(response, "data", None), response.headers.get("Retry-After", ""))


def _texts(data: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """Each sentence of errors that may lie in one another, with the name of its field: ``conditions.0.value``."""
    if isinstance(data, dict):
        for name, inner in data.items():
            yield from _texts(inner, f"{field}.{name}" if field else str(name))
    elif isinstance(data, list | tuple):
        for place, inner in enumerate(data):
            yield from _texts(inner, f"{field}.{place}" if isinstance(inner, dict | list) else field)
    elif data is not None:
        yield field, str(data)
