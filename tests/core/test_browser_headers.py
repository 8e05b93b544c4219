"""Security headers for browsers."""

from typing import Any

import pytest
from django.test import AsyncClient
from pytest_django import Settings
from rest_framework.test import APIClient

from tests.support.asgi import stream

API_POLICY = "default-src 'none'; frame-ancestors 'none'; form-action 'none'"

EXPECTED = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def header_values(response: Any) -> dict[str, str | None]:
    return {name: response.headers.get(name) for name in EXPECTED}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path, status",
    [
        ("/health/liveness", 200),
        ("/version/", 200),
        ("/api/v1/projects/", 401),
        ("/api/v1/flags/", 403),
        ("/api/no", 404),
    ],
)
def test_response__of_any_kind__has_the_policy_of_data(anonymous: APIClient, path: str, status: int) -> None:
    response = anonymous.get(path)

    assert response.status_code == status
    assert header_values(response) == EXPECTED
    assert response.headers["Content-Security-Policy"] == API_POLICY


def test_page__of_the_documentation__may_not_be_framed(anonymous: APIClient) -> None:
    response = anonymous.get("/api/v1/docs/")

    assert response.headers["Content-Type"].startswith("text/html")
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Content-Security-Policy"] == "frame-ancestors 'none'"


async def test_response__asgi__same_headers() -> None:
    response = await AsyncClient().get("/health/liveness")

    assert header_values(response) == EXPECTED
    assert response.headers["Content-Security-Policy"] == API_POLICY


@pytest.mark.django_db(transaction=True)
async def test_stream__any__nosniff() -> None:
    async with stream("unknown-key") as client:
        await client.opened()
    assert (b"x-content-type-options", b"nosniff") in client.sent[0]["headers"]


def test_host__not_allowed__400_as_json(anonymous: APIClient, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["flags.example.com"]
    response = anonymous.get("/health/liveness", HTTP_HOST="evil.example")

    assert (response.status_code, response.json()) == (400, {"detail": "Bad request."})
    assert anonymous.get("/health/liveness", HTTP_HOST="flags.example.com").status_code == 200


@pytest.mark.django_db
def test_cookies__registration_and_login__none_set_and_none_accepted(anonymous: APIClient) -> None:
    """Why the API needs no CSRF protection: browsers do not send its credentials by themselves."""
    person = {"email": "g@example.com", "password": "pw-Strong-1!x", "first_name": "G", "last_name": "H"}
    key = anonymous.post("/api/v1/auth/users/", person, format="json").json()["key"]
    anonymous.post("/api/v1/auth/login/", {"email": "g@example.com", "password": "pw-Strong-1!x"}, format="json")
    assert not anonymous.cookies

    for name in ("sessionid", "jwt", "Authorization", "token"):
        anonymous.cookies[name] = key
    assert anonymous.get("/api/v1/auth/users/me/").status_code == 401


@pytest.mark.django_db
def test_cors__any_origin__never_with_credentials(anonymous: APIClient) -> None:
    response = anonymous.get("/api/v1/flags/", HTTP_ORIGIN="https://evil.example")

    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in response.headers
