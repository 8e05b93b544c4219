"""Settings of an environment: fields, concurrent edits, server-side keys with an end, and deletion."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from audit.models import AuditLog
from environments.models import Environment
from projects.models import Project

pytestmark = pytest.mark.django_db


@pytest.fixture
def path(base_path: str) -> str:
    return f"{base_path}settings/"


def fields(**changed: str) -> dict[str, str]:
    """The fields of the form as a browser sends them for a new environment. An empty one is unchecked."""
    form = {"name": "Development", "description": "", "banner_text": "", "banner_colour": "", "hide_disabled_flags": ""}
    form |= {"minimum_change_request_approvals": "", "allow_client_traits": "on"}
    form |= {"use_identity_overrides_in_local_eval": "on"}
    return {name: value for name, value in {**form, **changed}.items() if value or name not in ("allow_client_traits",)}


def digests(page: str) -> str:
    """The value of the form's hidden field."""
    return page.split('name="digests" value="')[1].split('"')[0].replace("&quot;", '"')


def test_settings__saved__stored_shown_and_in_the_audit_log(
    browser: Client, path: str, environment: Environment
) -> None:
    form = fields(
        name="Staging",
        banner_text="Customers <see> this",
        banner_colour="#b3261e",
        minimum_change_request_approvals="2",
        hide_disabled_flags="true",
        allow_client_traits="",
    )
    page = browser.post(path, form, follow=True).content.decode()
    environment.refresh_from_db()
    assert (environment.name, environment.banner_colour) == ("Staging", "#b3261e")
    assert (environment.minimum_change_request_approvals, environment.hide_disabled_flags) == (2, True)
    assert not environment.allow_client_traits
    assert environment.use_identity_overrides_in_local_eval
    assert '<p class="banner">' in page
    assert "Customers &lt;see&gt; this" in page
    assert 'fill="#b3261e"' in page
    assert AuditLog.objects.filter(environment=environment, author__email="admin@example.com").exists()
    browser.post(path, fields(name="Staging"))
    environment.refresh_from_db()
    assert (environment.minimum_change_request_approvals, environment.hide_disabled_flags) == (None, None)


def test_settings__bad_input__400_with_the_message_and_the_input(
    browser: Client, path: str, environment: Environment, production: Environment
) -> None:
    response = browser.post(path, fields(name="Production", minimum_change_request_approvals="-1"))
    page = response.content.decode()
    assert response.status_code == 400
    assert 'id="approvals-wrong"' in page
    assert 'value="Production"' in page
    environment.refresh_from_db()
    assert environment.name == "Development"


def test_settings__changed_meanwhile__refused_with_the_other_value(
    browser: Client, path: str, environment: Environment
) -> None:
    opened = browser.get(path).content.decode()
    Environment.objects.filter(pk=environment.pk).update(banner_text="theirs")
    response = browser.post(path, {**fields(name="Mine"), "digests": digests(opened)})
    page = response.content.decode()
    assert response.status_code == 409
    assert "theirs" in page
    assert 'value="Mine"' in page
    environment.refresh_from_db()
    assert environment.name == "Development"


def test_settings__viewer__sees_them_and_may_not_change_or_delete(
    viewer: Client, path: str, environment: Environment
) -> None:
    page = viewer.get(path).content.decode()
    assert "Only admins of the environment may change these." in page
    assert "Delete…" not in page
    assert viewer.post(path, fields(name="Mine")).status_code == 403
    assert viewer.post(f"{path}delete/", {"name": "Development"}).status_code == 403
    assert Environment.objects.filter(pk=environment.pk, name="Development").exists()


def test_delete__typed_name__deleted(browser: Client, path: str, environment: Environment, project: Project) -> None:
    wrong = browser.post(f"{path}delete/", {"name": "Production"})
    assert (wrong.status_code, Environment.objects.filter(pk=environment.pk).exists()) == (400, True)
    response = browser.post(f"{path}delete/", {"name": "Development"})
    assert response["Location"] == f"/projects/{project.pk}/"
    assert not Environment.objects.filter(pk=environment.pk).exists()


def test_server_key__end_and_switch__applications_are_refused_after_them(
    browser: Client, client: Client, project: Project, environment: Environment
) -> None:
    keys = f"/projects/{project.pk}/settings/sdk/keys/"
    tomorrow = f"{timezone.now() + timedelta(days=1):%Y-%m-%dT%H:%M}"
    query = f"?env={environment.api_key}"
    assert browser.post(f"{keys}{query}", {"name": "Backend", "expires_at": "soon"}).status_code == 400
    browser.post(f"{keys}{query}", {"name": "Backend", "expires_at": tomorrow})
    key = environment.api_keys.get()
    assert key.expires_at is not None

    def document() -> int:
        headers = {"X-Environment-Key": key.key}
        return client.get("/api/v1/environment-document/", headers=headers).status_code

    assert document() == 200
    page = browser.get(f"{keys}{key.pk}/{query}").content.decode()
    assert f'value="{tomorrow}"' in page
    form = {"name": "Backend", "active": "on", "digests": digests(page)}
    browser.post(f"{keys}{key.pk}/{query}", {**form, "expires_at": "2020-01-01T00:00"})
    assert document() in (401, 403)
    assert "expired" in browser.get(f"/projects/{project.pk}/settings/sdk/{query}").content.decode()
    browser.post(f"{keys}{key.pk}/{query}", {"name": "Backend", "active": "on", "expires_at": ""})
    assert document() == 200
    browser.post(f"{keys}{key.pk}/{query}", {"name": "Backend", "expires_at": ""})
    assert document() in (401, 403)
