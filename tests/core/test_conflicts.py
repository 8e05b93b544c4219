"""Concurrent requests that create the same name: one succeeds, the others get validation errors."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from environments.models import Environment
from organisations.models import Organisation
from projects.models import Project
from tests.support.patience import PATIENCE
from users.models import FFAdminUser

CONCURRENT = 4

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def concurrently(call: Callable[[], Any]) -> list[tuple[int, Any]]:
    """Make the same call from several threads, and return status and body of the responses, sorted by status."""
    barrier = Barrier(CONCURRENT)

    def make() -> tuple[int, Any]:
        try:
            barrier.wait(PATIENCE)
            response = call()
            return response.status_code, response.json()
        finally:
            connection.close()

    with ThreadPoolExecutor(CONCURRENT) as pool:
        made = [pool.submit(make) for _ in range(CONCURRENT)]
        return sorted((future.result() for future in made), key=lambda answer: answer[0])


def post(client: APIClient, path: str, body: dict[str, Any]) -> Callable[[], Any]:
    """A call with the client's credentials. Each uses its own client, because clients are not thread-safe."""

    def call() -> Any:
        own = APIClient(raise_request_exception=False)
        own.credentials(**client._credentials)
        return own.post(f"/api/v1/{path}", body, format="json")

    return call


def test_project__same_name_concurrently__one_created(admin: APIClient, organisation: Organisation) -> None:
    first, *others = concurrently(post(admin, "projects/", {"name": "Mobile", "organisation": organisation.pk}))

    assert first[0] == 201
    assert others == [(400, {"non_field_errors": ["A project with this name already exists."]})] * (CONCURRENT - 1)
    assert Project.objects.count() == 1


def test_environment__same_name_concurrently__one_created(admin: APIClient, project: Project) -> None:
    first, *others = concurrently(post(admin, "environments/", {"name": "Staging", "project": project.pk}))

    assert first[0] == 201
    assert others == [(400, {"non_field_errors": ["An environment with this name already exists."]})] * (CONCURRENT - 1)
    assert Environment.objects.count() == 1


def test_registration__same_address_concurrently__one_user(anonymous: APIClient) -> None:
    body = {"email": "new@example.com", "password": "pw-Strong-1!x", "first_name": "N", "last_name": "N"}

    first, *others = concurrently(post(anonymous, "auth/users/", body))

    assert first[0] == 201
    assert others == [(400, {"email": ["Email already exists. Please log in."]})] * (CONCURRENT - 1)
    assert FFAdminUser.objects.count() == 1


def test_user_permission__same_user_concurrently__one_row(
    admin: APIClient, member_user: FFAdminUser, project: Project
) -> None:
    body = {"user": member_user.pk, "permissions": ["VIEW_PROJECT"]}

    first, *others = concurrently(post(admin, f"projects/{project.pk}/user-permissions/", body))

    assert first[0] == 201
    assert [(status, list(answer)) for status, answer in others] == [(400, ["user"])] * (CONCURRENT - 1)
    assert project.userpermission.count() == 1
