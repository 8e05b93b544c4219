"""The endpoints of webhooks. tests/contract also compares responses with recorded ones of Flagsmith."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.test import override_settings
from rest_framework.test import APIClient

from environments.models import Environment, Webhook
from organisations.models import Organisation, OrganisationWebhook
from tests.conftest import signed_in
from tests.support.receiver import Receiver
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db

TRIAL = "/api/v1/webhooks/test/"

URL = "https://example.com/h"

INVALID_URLS = (
    "http://10.1.2.3:8080/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.100.100.200/",
    "http://[::1]/",
    "http://[fd00::1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[64:ff9b::a00:1]/",
    "http://user:password@10.1.2.3/",
    "http://example.com:22/",
    "http://example.com:0/",
    "ftp://example.com/",
    "no url",
    "",
)


@pytest.fixture
def path(environment: Environment) -> str:
    return f"/api/v1/environments/{environment.api_key}/webhooks/"


@pytest.fixture
def organisation_path(organisation: Organisation) -> str:
    return f"/api/v1/organisations/{organisation.pk}/webhooks/"


@pytest.fixture
def viewer(member_user: FFAdminUser, environment: Environment) -> APIClient:
    """A member who may view ``environment``."""
    environment.project.userpermission.create(user=member_user).permissions.add("VIEW_PROJECT")
    environment.userpermission.create(user=member_user).permissions.add("VIEW_ENVIRONMENT")
    return signed_in(member_user)


def test_environment_webhook__created_changed_and_deleted__same_responses_as_flagsmith(
    admin: APIClient, path: str
) -> None:
    response = admin.post(path, {"url": URL, "secret": "s"}, "json")
    assert response.status_code == 201
    created = response.json()
    assert list(created) == ["id", "url", "enabled", "created_at", "updated_at", "secret"]
    assert (created["enabled"], created["secret"]) == (True, "s")
    assert admin.get(path).json() == [created]
    webhook_path = f"{path}{created['id']}/"
    assert admin.patch(webhook_path, {"enabled": False}, "json").json()["enabled"] is False
    body = {"url": "https://user:password@example.com/other", "enabled": True}
    changed = admin.put(webhook_path, body, "json").json()
    assert (changed["url"], changed["enabled"]) == (body["url"], True)
    assert changed["updated_at"] > created["updated_at"]
    assert admin.get(webhook_path).status_code == 405
    assert admin.delete(webhook_path).status_code == 204
    assert admin.get(path).json() == []


def test_organisation_webhook__created_changed_and_deleted__same_responses_as_flagsmith(
    admin: APIClient, organisation_path: str
) -> None:
    response = admin.post(organisation_path, {"url": URL}, "json")
    assert response.status_code == 201
    created = response.json()
    assert list(created) == ["id", "url", "enabled", "secret", "created_at", "updated_at"]
    assert admin.get(organisation_path).json() == {"count": 1, "next": None, "previous": None, "results": [created]}
    webhook_path = f"{organisation_path}{created['id']}/"
    assert admin.get(webhook_path).json() == created
    assert admin.patch(webhook_path, {"secret": "s"}, "json").json()["secret"] == "s"
    assert admin.delete(webhook_path).status_code == 204
    assert not OrganisationWebhook.objects.exists()


@pytest.mark.parametrize("url", INVALID_URLS)
def test_url__not_allowed_for_webhooks__400_names_the_field(
    admin: APIClient, path: str, organisation_path: str, webhook: Webhook, environment: Environment, url: str
) -> None:
    assert list(admin.post(path, {"url": url}, "json").json()) == ["url"]
    assert list(admin.patch(f"{path}{webhook.pk}/", {"url": url}, "json").json()) == ["url"]
    assert list(admin.post(organisation_path, {"url": url}, "json").json()) == ["url"]
    scope = {"type": "environment", "id": environment.api_key}
    assert list(admin.post(TRIAL, {"webhook_url": url, "scope": scope}, "json").json()) == ["webhook_url"]
    assert Webhook.objects.get().url == webhook.url


@override_settings(WEBHOOKS_ALLOWED_NETWORKS="10.0.0.0/8,::1/128")
def test_url__in_an_allowed_network__accepted(admin: APIClient, path: str) -> None:
    assert admin.post(path, {"url": "http://10.1.2.3/"}, "json").status_code == 201
    assert admin.post(path, {"url": "http://[::ffff:10.1.2.3]/"}, "json").status_code == 201
    assert admin.post(path, {"url": "http://[::1]:8080/"}, "json").status_code == 201
    for url in ("http://127.0.0.1/", "http://localhost/", "http://hooks.localhost:8080/", "http://127.1/"):
        assert list(admin.post(path, {"url": url}, "json").json()) == ["url"]


def test_secret__caller_may_only_view__empty(viewer: APIClient, admin: APIClient, path: str) -> None:
    created = admin.post(path, {"url": URL, "secret": "s"}, "json").json()
    assert viewer.get(path).json() == [{**created, "secret": ""}]
    assert viewer.post(path, {"url": URL}, "json").status_code == 403
    assert viewer.delete(f"{path}{created['id']}/").status_code == 403


def test_webhooks__caller_without_access__404_or_403(
    outsider: APIClient, member: APIClient, path: str, organisation_path: str, webhook: Webhook
) -> None:
    for caller in (outsider, member):
        assert caller.get(path).status_code == 404
        assert caller.patch(f"{path}{webhook.pk}/", {"enabled": False}, "json").status_code == 404
    assert outsider.get(organisation_path).status_code == 404
    assert member.get(organisation_path).status_code == 403


def test_webhook__path_of_another_environment__not_found(
    admin: APIClient, production: Environment, webhook: Webhook
) -> None:
    assert admin.delete(f"/api/v1/environments/{production.api_key}/webhooks/{webhook.pk}/").status_code == 404


@pytest.fixture
def trial(environment: Environment, receiver: Receiver) -> Callable[..., Any]:
    """Posts a trial of the receiver's URL for ``environment``."""

    def call(client: APIClient, **body: Any) -> Any:
        scope = {"type": "environment", "id": environment.api_key}
        return client.post(TRIAL, {"webhook_url": receiver.url, "scope": scope, **body}, "json")

    return call


def test_trial__receiver_accepts__200_with_its_status(
    admin: APIClient, trial: Callable[..., Any], receiver: Receiver, organisation: Organisation
) -> None:
    response = trial(admin, secret="s")
    assert (response.status_code, response.json()) == (200, {"detail": "Webhook test successful", "status": 200})
    received = receiver.next()
    assert received.json()["event_type"] == "FLAG_UPDATED"
    assert len(received.headers["X-Flagsmith-Signature"]) == 64
    assert trial(admin, scope={"type": "organisation", "id": organisation.pk}).status_code == 200
    received = receiver.next()
    assert received.json()["event_type"] == "AUDIT_LOG_CREATED"
    assert "X-Flagsmith-Signature" not in received.headers


def test_trial__receiver_fails__400_with_its_status_only(
    admin: APIClient, trial: Callable[..., Any], receiver: Receiver
) -> None:
    receiver.answers.append(503)
    response = trial(admin)
    assert response.status_code == 400
    assert response.json() == {
        "detail": "Webhook returned error status",
        "body": "Webhook returned HTTP 503.",
        "status": 503,
    }


def test_trial__connection_refused__400(admin: APIClient, trial: Callable[..., Any], receiver: Receiver) -> None:
    response = trial(admin, webhook_url="http://127.0.0.1:65535/")
    assert response.status_code == 400
    assert response.json()["detail"] == "Could not connect to webhook URL"


def test_trial__caller_is_not_an_admin_of_the_scope__denied_and_nothing_sent(
    viewer: APIClient,
    outsider: APIClient,
    anonymous: APIClient,
    trial: Callable[..., Any],
    receiver: Receiver,
    organisation: Organisation,
) -> None:
    assert trial(viewer).status_code == 403
    assert trial(outsider).status_code == 404
    assert trial(anonymous).status_code == 401
    scope = {"type": "organisation", "id": organisation.pk}
    assert trial(viewer, scope=scope).status_code == 403
    assert trial(outsider, scope=scope).status_code == 404
    assert trial(outsider, scope={"type": "organisation", "id": "x"}).status_code == 404
    assert receiver.rest() == []


@override_settings(WEBHOOK_TEST_THROTTLE_RATE="1/hour")
def test_trial__over_the_rate__throttled(admin: APIClient, trial: Callable[..., Any]) -> None:
    cache.clear()
    assert [trial(admin).status_code for _ in range(2)] == [200, 429]
