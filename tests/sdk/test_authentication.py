"""Authentication of the SDK API by environment keys."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from environments.models import Environment, EnvironmentAPIKey
from organisations.models import Organisation
from tests.sdk.conftest import application

pytestmark = pytest.mark.django_db

MISSING = {"detail": "Invalid or missing Environment key"}
UNKNOWN = {"detail": "Invalid or missing Environment Key"}

CALLS = (
    ("GET", "flags/"),
    ("GET", "identities/?identifier=ada"),
    ("POST", "identities/"),
    ("POST", "traits/"),
    ("PUT", "traits/bulk/"),
    ("POST", "traits/bulk/"),
    ("GET", "environment-document/"),
    ("POST", "analytics/flags/"),
)


def call(client: APIClient, method: str, path: str) -> Any:
    return client.generic(method, f"/api/v1/{path}", "{}", content_type="application/json")


@pytest.mark.parametrize("method, path", CALLS)
def test_call__without_key__403(method: str, path: str, anonymous: APIClient) -> None:
    response = call(anonymous, method, path)
    assert (response.status_code, response.json()) == (403, MISSING)


@pytest.mark.parametrize("method, path", CALLS)
@pytest.mark.parametrize("key", ["ser.unknown", "ser.", "ser.\0"])
def test_call__unknown_server_key__403(method: str, path: str, key: str) -> None:
    response = call(application(key), method, path)
    assert (response.status_code, response.json()) == (403, UNKNOWN)


@pytest.mark.parametrize("key", ["unknown", "\0", "Ünï", "x" * 5_000])
def test_call__unknown_client_key__403(key: str) -> None:
    response = call(application(key), "GET", "flags/")
    assert (response.status_code, response.json()) == (403, UNKNOWN)


@pytest.mark.parametrize("around", [" {} ", "{}  ", "\t{}"])
def test_call__key_with_surrounding_spaces__200(
    around: str, environment: Environment, server_key: EnvironmentAPIKey
) -> None:
    for key in (environment.api_key, server_key.key):
        assert application(around.format(key)).get("/api/v1/flags/").status_code == 200
    assert application(around.format(server_key.key)).get("/api/v1/environment-document/").status_code == 200


@pytest.mark.parametrize("method, path", CALLS)
def test_call__token_of_a_user__403(method: str, path: str, admin: APIClient) -> None:
    response = call(admin, method, path)
    assert (response.status_code, response.json()) == (403, MISSING)


@pytest.mark.parametrize("path", ["projects/", "environments/?project=1"])
def test_admin_api__environment_key__401(path: str, sdk: APIClient, server: APIClient) -> None:
    for client in (sdk, server):
        assert client.get(f"/api/v1/{path}").status_code == 401


def test_document__client_key__403(sdk: APIClient) -> None:
    response = sdk.get("/api/v1/environment-document/")
    assert (response.status_code, response.json()) == (403, MISSING)


@pytest.mark.parametrize(
    "change",
    [{"active": False}, {"expires_at": timezone.now() - timedelta(seconds=1)}],
    ids=["inactive", "expired"],
)
def test_call__server_key_no_longer_valid__403(
    change: dict[str, Any], server: APIClient, server_key: EnvironmentAPIKey
) -> None:
    assert server.get("/api/v1/flags/").status_code == 200
    EnvironmentAPIKey.objects.filter(pk=server_key.pk).update(**change)
    response = server.get("/api/v1/flags/")
    assert (response.status_code, response.json()) == (403, UNKNOWN)


def test_call__server_key_that_expires_later__200(server: APIClient, server_key: EnvironmentAPIKey) -> None:
    EnvironmentAPIKey.objects.filter(pk=server_key.pk).update(expires_at=timezone.now() + timedelta(hours=1))
    assert server.get("/api/v1/environment-document/").status_code == 200


def test_client_key__with_the_prefix_of_server_keys__403(environment: Environment) -> None:
    """Client-side keys are public and can be chosen, so they must not act as server-side keys."""
    Environment.objects.filter(pk=environment.pk).update(api_key="ser.chosen")
    assert application("ser.chosen").get("/api/v1/environment-document/").status_code == 403


@pytest.mark.parametrize("method, path", CALLS)
def test_call__organisation_has_stopped_serving__403(
    method: str, path: str, server: APIClient, organisation: Organisation
) -> None:
    organisation.stop_serving_flags = True
    organisation.save()
    response = call(server, method, path)
    assert (response.status_code, response.json()) == (403, {"detail": "Organisation is disabled from serving flags."})


def test_environment__deleted__403(sdk: APIClient, environment: Environment) -> None:
    environment.delete()
    response = sdk.get("/api/v1/flags/")
    assert (response.status_code, response.json()) == (403, UNKNOWN)


@pytest.mark.parametrize("path", ["flags/", "identities/?identifier=ada", "environment-document/"])
def test_head__valid_key__200_without_body(path: str, server: APIClient) -> None:
    response = server.head(f"/api/v1/{path}")
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("method, path", [("POST", "flags/"), ("DELETE", "identities/"), ("GET", "traits/")])
def test_call__unknown_method__405(method: str, path: str, sdk: APIClient) -> None:
    assert call(sdk, method, path).status_code == 405
