"""The same name taken by several requests at the same moment: one has it, the others are told so."""

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

AT_ONCE = 4

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def at_once(call: Callable[[], Any]) -> list[tuple[int, Any]]:
    """Make the same call from several threads, and give the statuses and answers in order."""
    barrier = Barrier(AT_ONCE)

    def make() -> tuple[int, Any]:
        try:
            barrier.wait(PATIENCE)
            response = call()
            return response.status_code, response.json()
        finally:
            connection.close()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        made = [pool.submit(make) for _ in range(AT_ONCE)]
        return sorted((future.result() for future in made), key=lambda answer: answer[0])


def post(client: APIClient, path: str, body: dict[str, Any]) -> Callable[[], Any]:
    """A call with the client's credentials. Clients are not made for threads, so each call has its own."""

    def call() -> Any:
        own = APIClient(raise_request_exception=False)
        own.credentials(**client._credentials)
        return own.post(f"/api/v1/{path}", body, format="json")

    return call


def test_project__same_name_at_once__one_made(admin: APIClient, organisation: Organisation) -> None:
    first, *others = at_once(post(admin, "projects/", {"name": "Mobile", "organisation": organisation.pk}))

    assert first[0] == 201
    assert others == [(400, {"non_field_errors": ["A project with this name already exists."]})] * (AT_ONCE - 1)
    assert Project.objects.count() == 1


def test_environment__same_name_at_once__one_made(admin: APIClient, project: Project) -> None:
    first, *others = at_once(post(admin, "environments/", {"name": "Staging", "project": project.pk}))

    assert first[0] == 201
    assert others == [(400, {"non_field_errors": ["An environment with this name already exists."]})] * (AT_ONCE - 1)
    assert Environment.objects.count() == 1


def test_registration__same_address_at_once__one_user(anonymous: APIClient) -> None:
    body = {"email": "new@example.com", "password": "pw-Strong-1!x", "first_name": "N", "last_name": "N"}

    first, *others = at_once(post(anonymous, "auth/users/", body))

    assert first[0] == 201
    assert others == [(400, {"email": ["Email already exists. Please log in."]})] * (AT_ONCE - 1)
    assert FFAdminUser.objects.count() == 1


def test_user_permission__same_user_at_once__one_row(
    admin: APIClient, member_user: FFAdminUser, project: Project
) -> None:
    body = {"user": member_user.pk, "permissions": ["VIEW_PROJECT"]}

    first, *others = at_once(post(admin, f"projects/{project.pk}/user-permissions/", body))

    assert first[0] == 201
    assert [(status, list(answer)) for status, answer in others] == [(400, ["user"])] * (AT_ONCE - 1)
    assert project.userpermission.count() == 1
