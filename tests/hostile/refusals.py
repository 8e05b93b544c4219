"""Checks that a response is a clear refusal, and that it has changed no row."""

import json
from typing import Any

from django.apps import apps
from django.db import connection, transaction
from django.http import HttpResponse
from rest_framework.test import APIClient

from tests.operations.world import WorldInProcess as World

TABLES = sorted({model._meta.db_table for model in apps.get_models(include_auto_created=True)})


def rows() -> dict[str, list[str]]:
    """Every row of every table. In plain SQL, since tests read them thousands of times."""
    found = {}
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            found[table] = sorted(map(repr, cursor.fetchall()))
    return found


def client_of(world: World, key: str) -> APIClient:
    """A client with this kind of key. If a view fails, it returns a 500, as a server does."""
    client = APIClient(raise_request_exception=False)
    if key == "user":
        client.credentials(HTTP_AUTHORIZATION=world.admin._credentials["HTTP_AUTHORIZATION"])
    elif key == "sdk":
        client.credentials(HTTP_X_ENVIRONMENT_KEY=world.a.api_key)
    elif key == "server":
        client.credentials(HTTP_X_ENVIRONMENT_KEY=world.server_key["key"])
    return client


def roll_back(client: APIClient, method: str, path: str, body: str) -> Any:
    """Make the call, and roll back its changes."""
    with transaction.atomic():
        response = client.generic(method, path, body, content_type="application/json")
        transaction.set_rollback(True)
    return response


def roll_back_if_accepted(
    client: APIClient, method: str, path: str, body: str = "", headers: dict[str, str] | None = None
) -> Any:
    """Make the call, and roll it back if it was accepted, so that the next call finds the same rows."""
    with transaction.atomic():
        response = client.generic(method, path, body, content_type="application/json", headers=headers or {})
        # A view that fails has marked the test's transaction for rollback.
        transaction.set_rollback(response.status_code < 400 or response.status_code >= 500)
    return response


def complaint(response: HttpResponse, statuses: range | tuple[int, ...] = range(400, 500), name: str = "") -> str:
    """The fault of a refusal, or an empty string. ``name`` is the field that the refusal has to name."""
    content = response.content[:300].decode(errors="replace")
    if response.status_code not in statuses:
        return f"{response.status_code} {content}"
    if response.headers.get("Content-Type") != "application/json":
        return f"not JSON, but {response.headers.get('Content-Type')}: {content}"
    body = json.loads(response.content)
    if not (body and _all_text(body)):
        return f"not in Django REST framework's shape: {content}"
    if name and response.status_code == 400 and not _excused(body) and not _names(body, name):
        return f"does not name {name!r}: {content}"
    return ""


def _excused(body: Any) -> bool:
    """Whether a refusal need not name a field: a parse error, a list of messages, or a message of Flagsmith."""
    if isinstance(body, list):
        return all(isinstance(message, str) for message in body)
    return str(body.get("detail", "")).startswith(("JSON parse error", "Feature not provided"))


def _all_text(body: Any) -> bool:
    """Whether all leaves are messages. In a list of items, an item without errors is an empty object."""
    match body:
        case str():
            return bool(body)
        case dict():
            return all(_all_text(value) for value in body.values())
        case list():
            return all(_all_text(value) for value in body)
    return False


def _names(body: Any, name: str) -> bool:
    match body:
        case dict():
            # Flagsmith names a scalar value after its database column.
            names = {name, "string_value"} if name == "feature_state_value" else {name}
            return bool(names & set(body)) or any(_names(value, name) for value in body.values())
        case list():
            return any(_names(value, name) for value in body)
    return False
