"""The end points of webhooks. Shapes are also held to recorded answers (tests/contract)."""

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

NOT_PUBLIC = (
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
    """A member who may look at ``environment``."""
    environment.project.userpermission.create(user=member_user).permissions.add("VIEW_PROJECT")
    environment.userpermission.create(user=member_user).permissions.add("VIEW_ENVIRONMENT")
    return signed_in(member_user)


def test_environment_webhook__made_changed_and_removed__as_flagsmith_answers(admin: APIClient, path: str) -> None:
    made = admin.post(path, {"url": URL, "secret": "s"}, "json")
    assert made.status_code == 201
    assert list(made.json()) == ["id", "url", "enabled", "created_at", "updated_at", "secret"]
    assert (made.json()["enabled"], made.json()["secret"]) == (True, "s")
    assert admin.get(path).json() == [made.json()]
    one = f"{path}{made.json()['id']}/"
    assert admin.patch(one, {"enabled": False}, "json").json()["enabled"] is False
    changed = admin.put(one, {"url": "https://user:password@example.com/other", "enabled": True}, "json").json()
    assert (changed["url"], changed["enabled"]) == ("https://user:password@example.com/other", True)
    assert changed["updated_at"] > made.json()["updated_at"]
    assert admin.get(one).status_code == 405
    assert admin.delete(one).status_code == 204
    assert admin.get(path).json() == []


def test_organisation_webhook__made_changed_and_removed__as_flagsmith_answers(
    admin: APIClient, organisation_path: str
) -> None:
    made = admin.post(organisation_path, {"url": URL}, "json")
    assert made.status_code == 201
    assert list(made.json()) == ["id", "url", "enabled", "secret", "created_at", "updated_at"]
    assert admin.get(organisation_path).json() == {"count": 1, "next": None, "previous": None, "results": [made.json()]}
    one = f"{organisation_path}{made.json()['id']}/"
    assert admin.get(one).json() == made.json()
    assert admin.patch(one, {"secret": "s"}, "json").json()["secret"] == "s"
    assert admin.delete(one).status_code == 204
    assert not OrganisationWebhook.objects.exists()


@pytest.mark.parametrize("url", NOT_PUBLIC)
def test_url__not_one_that_webhooks_can_have__refused_by_name(
    admin: APIClient, path: str, organisation_path: str, webhook: Webhook, environment: Environment, url: str
) -> None:
    assert list(admin.post(path, {"url": url}, "json").json()) == ["url"]
    assert list(admin.patch(f"{path}{webhook.pk}/", {"url": url}, "json").json()) == ["url"]
    assert list(admin.post(organisation_path, {"url": url}, "json").json()) == ["url"]
    scope = {"type": "environment", "id": environment.api_key}
    assert list(admin.post(TRIAL, {"webhook_url": url, "scope": scope}, "json").json()) == ["webhook_url"]
    assert Webhook.objects.get().url == webhook.url


@override_settings(WEBHOOKS_ALLOWED_NETWORKS="10.0.0.0/8,::1/128")
def test_url__of_a_network_that_is_allowed__taken(admin: APIClient, path: str) -> None:
    assert admin.post(path, {"url": "http://10.1.2.3/"}, "json").status_code == 201
    assert admin.post(path, {"url": "http://[::ffff:10.1.2.3]/"}, "json").status_code == 201
    assert admin.post(path, {"url": "http://[::1]:8080/"}, "json").status_code == 201
    for url in ("http://127.0.0.1/", "http://localhost/", "http://hooks.localhost:8080/", "http://127.1/"):
        assert list(admin.post(path, {"url": url}, "json").json()) == ["url"]


def test_secret__caller_may_only_look__not_shown(viewer: APIClient, admin: APIClient, path: str) -> None:
    made = admin.post(path, {"url": URL, "secret": "s"}, "json").json()
    assert viewer.get(path).json() == [{**made, "secret": ""}]
    assert viewer.post(path, {"url": URL}, "json").status_code == 403
    assert viewer.delete(f"{path}{made['id']}/").status_code == 403


def test_webhooks__of_others__do_not_exist(
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
def tried(environment: Environment, receiver: Receiver) -> Callable[..., Any]:
    def call(client: APIClient, **body: Any) -> Any:
        scope = {"type": "environment", "id": environment.api_key}
        return client.post(TRIAL, {"webhook_url": receiver.url, "scope": scope, **body}, "json")

    return call


def test_trial__receiver_takes_it__says_so(
    admin: APIClient, tried: Callable[..., Any], receiver: Receiver, organisation: Organisation
) -> None:
    answer = tried(admin, secret="s")
    assert (answer.status_code, answer.json()) == (200, {"detail": "Webhook test successful", "status": 200})
    received = receiver.next()
    assert received.json()["event_type"] == "FLAG_UPDATED"
    assert len(received.headers["X-Flagsmith-Signature"]) == 64
    assert tried(admin, scope={"type": "organisation", "id": organisation.pk}).status_code == 200
    received = receiver.next()
    assert received.json()["event_type"] == "AUDIT_LOG_CREATED"
    assert "X-Flagsmith-Signature" not in received.headers


def test_trial__receiver_refuses__its_status_and_nothing_else(
    admin: APIClient, tried: Callable[..., Any], receiver: Receiver
) -> None:
    receiver.answers.append(503)
    answer = tried(admin)
    assert answer.status_code == 400
    assert answer.json() == {
        "detail": "Webhook returned error status",
        "body": "Webhook returned HTTP 503.",
        "status": 503,
    }


def test_trial__nobody_there__says_so(admin: APIClient, tried: Callable[..., Any], receiver: Receiver) -> None:
    answer = tried(admin, webhook_url="http://127.0.0.1:65535/")
    assert answer.status_code == 400
    assert answer.json()["detail"] == "Could not connect to webhook URL"


def test_trial__caller_is_no_admin_of_the_scope__refused_and_nothing_sent(
    viewer: APIClient,
    outsider: APIClient,
    anonymous: APIClient,
    tried: Callable[..., Any],
    receiver: Receiver,
    organisation: Organisation,
) -> None:
    assert tried(viewer).status_code == 403
    assert tried(outsider).status_code == 404
    assert tried(anonymous).status_code == 401
    scope = {"type": "organisation", "id": organisation.pk}
    assert tried(viewer, scope=scope).status_code == 403
    assert tried(outsider, scope=scope).status_code == 404
    assert tried(outsider, scope={"type": "organisation", "id": "x"}).status_code == 404
    assert receiver.rest() == []


@override_settings(WEBHOOK_TEST_THROTTLE_RATE="1/hour")
def test_trial__again_and_again__throttled(admin: APIClient, tried: Callable[..., Any]) -> None:
    cache.clear()
    assert [tried(admin).status_code for _ in range(2)] == [200, 429]
