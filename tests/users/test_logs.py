"""A server's log contains no secrets."""

from collections.abc import Callable

import pytest

from tests.support.api import AdminAPI, Tenant
from tests.support.server import ServerProcess

pytestmark = pytest.mark.e2e


def test_log__log_ins_keys_and_failures__no_secret_logged(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server(LOG_LEVEL="DEBUG", SSE_AUTHENTICATION_TOKEN="publishers-5ecret")
    person = {"email": "ada@example.com", "first_name": "Ada", "last_name": "L"}
    anonymous = AdminAPI(server.url)
    password = "correct-h0rse-battery"
    registered = anonymous.post("auth/users/", **person, password=password)
    wrong = "not-the-passw0rd"
    anonymous.response("POST", "auth/users/", {**person, "password": wrong})
    anonymous.response("POST", "auth/login/", {"email": person["email"], "password": wrong})
    key = anonymous.post("auth/login/", email=person["email"], password=password)["key"]
    api = AdminAPI(server.url, key)
    secrets = {password, wrong, key, registered["key"], "publishers-5ecret"}

    tenant = Tenant.create(api)
    master = api.post(f"organisations/{tenant.organisation}/master-api-keys/", name="ci")
    secrets |= {master["key"], master["key"].partition(".")[2], tenant.environment.server_key}
    for header in (f"Api-Key {master['key']}", f"Token {key}", f"Api-Key {master['key'][:-1]}"):
        anonymous.response("GET", "projects/", headers={"Authorization": header})
        anonymous.response("POST", "projects/", {"name": []}, headers={"Authorization": header})
    for path in ("flags/", "environment-document/", "nowhere/"):
        anonymous.response("GET", path, headers={"X-Environment-Key": tenant.environment.server_key})

    enrolment = api.post("auth/app/activate/")
    secrets |= {enrolment["secret"], "314159"}
    api.response("POST", "auth/app/activate/confirm/", {"code": "314159"})
    api.response("POST", "auth/login/code/", {"ephemeral_token": "ephemeral-5ecret", "code": "314159"})
    anonymous.post("auth/users/reset_password/", email=person["email"])
    anonymous.response(
        "POST",
        "auth/users/reset_password_confirm/",
        {"uid": "MQ", "token": "reset-5ecret", "new_password": wrong, "re_new_password": wrong},
    )
    secrets |= {"ephemeral-5ecret", "reset-5ecret"}
    server.stop()

    assert "Unauthorized: /api/v1/projects/" in server.log
    assert [secret for secret in secrets if secret in server.log] == []
