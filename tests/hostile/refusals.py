"""Whether a refusal is a clear one, and left everything as it was."""

import json
from typing import Any

from django.apps import apps
from django.db import connection, transaction
from django.http import HttpResponse
from rest_framework.test import APIClient

from tests.operations.world import WorldInProcess as World

TABLES = sorted({model._meta.db_table for model in apps.get_models(include_auto_created=True)})


def rows() -> dict[str, list[str]]:
    """Every row of every table. In plain SQL, since this is asked for thousands of times."""
    found = {}
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            found[table] = sorted(map(repr, cursor.fetchall()))
    return found


def client_of(world: World, key: str) -> APIClient:
    """A client that answers with a 500 where a view fails, as a server does."""
    client = APIClient(raise_request_exception=False)
    if key == "user":
        client.credentials(HTTP_AUTHORIZATION=world.admin._credentials["HTTP_AUTHORIZATION"])
    elif key == "sdk":
        client.credentials(HTTP_X_ENVIRONMENT_KEY=world.a.api_key)
    elif key == "server":
        client.credentials(HTTP_X_ENVIRONMENT_KEY=world.server_key["key"])
    return client


def undone(client: APIClient, method: str, path: str, body: str) -> Any:
    """Make the call and undo whatever it did."""
    with transaction.atomic():
        response = client.generic(method, path, body, content_type="application/json")
        transaction.set_rollback(True)
    return response


def kept_if_refused(
    client: APIClient, method: str, path: str, body: str = "", headers: dict[str, str] | None = None
) -> Any:
    """Make the call; undo it only where it was accepted, so that the next one meets the same rows."""
    with transaction.atomic():
        response = client.generic(method, path, body, content_type="application/json", headers=headers or {})
        # A failing view has given the whole of the test's transaction up.
        transaction.set_rollback(response.status_code < 400 or response.status_code >= 500)
    return response


def complaint(response: HttpResponse, statuses: range | tuple[int, ...] = range(400, 500), name: str = "") -> str:
    """What is wrong with this refusal, in words; empty: nothing. ``name`` is the field that it has to name."""
    said = response.content[:300].decode(errors="replace")
    if response.status_code not in statuses:
        return f"{response.status_code} {said}"
    if response.headers.get("Content-Type") != "application/json":
        return f"not JSON, but {response.headers.get('Content-Type')}: {said}"
    body = json.loads(response.content)
    if not (body and _all_text(body)):
        return f"not in Django REST framework's shape: {said}"
    if name and response.status_code == 400 and not _excused(body) and not _names(body, name):
        return f"does not name {name!r}: {said}"
    return ""


def _excused(body: Any) -> bool:
    """Whether it need not name a field: no JSON at all, Flagsmith's bare list of messages, or its own words."""
    if isinstance(body, list):
        return all(isinstance(message, str) for message in body)
    return str(body.get("detail", "")).startswith(("JSON parse error", "Feature not provided"))


def _all_text(body: Any) -> bool:
    """Messages, in lists or under fields' names; what is right in a list of items is an empty object."""
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
            # Flagsmith names a scalar value after the column that it would have gone to.
            names = {name, "string_value"} if name == "feature_state_value" else {name}
            return bool(names & set(body)) or any(_names(value, name) for value in body.values())
        case list():
            return any(_names(value, name) for value in body)
    return False
