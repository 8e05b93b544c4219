"""Passwords are hashed outside of transactions: an open transaction would block other writes on SQLite."""

from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db import connection
from rest_framework.test import APIClient

from tests.support.accounts import reset_link
from users.models import FFAdminUser

PASSWORD = "pa55-word-1"
NEW = "a-New-0ne-indeed"
REGISTRATION = {"email": "new@example.com", "password": "pw-Strong-1!x", "first_name": "N", "last_name": "N"}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hashed_in_transaction() -> Iterator[list[bool]]:
    """One item for each computed hash: True if it was computed in a transaction."""
    in_transaction: list[bool] = []

    def encode(self: MD5PasswordHasher, password: str, salt: str) -> str:
        in_transaction.append(connection.in_atomic_block)
        return original(self, password, salt)

    original = MD5PasswordHasher.encode
    with mock.patch.object(MD5PasswordHasher, "encode", encode):
        yield in_transaction


@pytest.mark.parametrize(
    "call, status, hashes",
    [
        pytest.param(
            lambda client: client.post("/api/v1/auth/users/", REGISTRATION, format="json"), 201, 1, id="register"
        ),
        pytest.param(
            lambda client: client.post(
                "/api/v1/auth/login/", {"email": "admin@example.com", "password": PASSWORD}, format="json"
            ),
            200,
            1,
            id="log in",
        ),
        pytest.param(
            lambda client: client.delete("/api/v1/auth/users/me/", {"current_password": PASSWORD}, format="json"),
            204,
            1,
            id="delete",
        ),
        pytest.param(
            lambda client: client.post(
                "/api/v1/auth/users/set_password/",
                {"current_password": PASSWORD, "new_password": NEW, "re_new_password": NEW},
                format="json",
            ),
            204,
            2,
            id="set password",
        ),
        pytest.param(
            lambda client: client.post(
                "/api/v1/auth/users/reset_password_confirm/",
                {
                    **reset_link(FFAdminUser.objects.get()),
                    "new_password": NEW,
                    "re_new_password": NEW,
                },
                format="json",
            ),
            204,
            1,
            id="reset password",
        ),
    ],
)
def test_password__hashed__outside_of_a_transaction(
    admin: APIClient, hashed_in_transaction: list[bool], call: Callable[[APIClient], Any], status: int, hashes: int
) -> None:
    assert call(admin).status_code == status
    assert hashed_in_transaction == [False] * hashes
