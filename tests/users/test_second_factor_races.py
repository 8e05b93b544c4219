"""Concurrent log-ins with the same code."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from unittest import mock

import pytest
from django.db import connection
from rest_framework.test import APIClient

from tests.support.accounts import code_login
from tests.support.patience import PATIENCE
from users.models import FFAdminUser

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def test_code__two_concurrent_requests__one_succeeds(user: FFAdminUser) -> None:
    body = code_login(user)
    start = Barrier(2)
    now = time.time()

    def attempt(_: int) -> int:
        try:
            start.wait(PATIENCE)
            return int(APIClient().post("/api/v1/auth/login/code/", body, format="json").status_code)
        finally:
            connection.close()

    # The clock is stopped, so that the code does not expire.
    with mock.patch("django_otp.plugins.otp_totp.models.time") as clock, ThreadPoolExecutor(2) as pool:
        clock.time.return_value = now
        assert sorted(pool.map(attempt, range(2))) in ([200, 401], [200, 429])
