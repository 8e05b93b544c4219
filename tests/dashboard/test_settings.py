"""Project settings: real-time switch, server-side keys, code snippets, and settings of the whole project."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils.html import escape
from pytest_django import DjangoAssertNumQueries, Settings

from environments.models import Environment, EnvironmentAPIKey, UserEnvironmentPermission
from features.models import Feature
from permissions.models import PermissionModel
from projects.models import Project, UserProjectPermission
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db


@pytest.fixture
def sdk(project: Project) -> str:
    return f"/projects/{project.pk}/settings/sdk/"


@pytest.fixture
def viewer_browser(
    member_browser: Client, member_user: FFAdminUser, project: Project, environment: Environment
) -> Client:
    """Signed in as a member with VIEW_PROJECT and VIEW_ENVIRONMENT only."""
    permission = UserProjectPermission.objects.create(user=member_user, project=project)
    permission.permissions.add(PermissionModel.objects.get(key="VIEW_PROJECT"))
    seen = UserEnvironmentPermission.objects.create(user=member_user, environment=environment)
    seen.permissions.add(PermissionModel.objects.get(key="VIEW_ENVIRONMENT"))
    return member_browser


def test_switch__project_admin__on_and_off(browser: Client, sdk: str, project: Project) -> None:
    before = project.enable_realtime_updates
    for enabled in (not before, before):
        response = browser.post(f"{sdk}realtime/", {"enabled": str(enabled).lower()}, follow=True)
        assert response.redirect_chain == [(sdk, 303)]
        assert f"Real-time updates are {'on' if enabled else 'off'}." in response.content.decode()
        project.refresh_from_db()
        assert project.enable_realtime_updates is enabled


def test_switch__viewer__disabled_with_the_reason_and_rejected(
    viewer_browser: Client, sdk: str, project: Project, environment: Environment
) -> None:
    key = EnvironmentAPIKey.objects.create(environment=environment, name="secret-name")
    before = project.enable_realtime_updates
    page = viewer_browser.get(sdk).content.decode()
    assert "Only admins of the project may change this." in page
    assert 'aria-describedby="realtime-hint realtime-why" disabled' in page
    assert environment.api_key in page
    assert "secret-name" not in page
    assert key.key not in page
    assert viewer_browser.get(f"{sdk}keys/{key.pk}/revoke/?env={environment.api_key}").status_code == 404
    rejected = viewer_browser.post(f"{sdk}keys/?env={environment.api_key}", {"name": "Mine"})
    assert rejected.status_code == 403

    response = viewer_browser.post(f"{sdk}realtime/", {"enabled": str(not before).lower()}, follow=True)

    assert 'class="message error"' in response.content.decode()
    project.refresh_from_db()
    assert project.enable_realtime_updates is before


def test_switch__plan_without_real_time__disabled_with_the_reason(
    browser: Client, sdk: str, project: Project, settings: Settings
) -> None:
    settings.REALTIME_PLANS = "scale-up"
    Project.objects.filter(pk=project.pk).update(enable_realtime_updates=False)
    assert "does not include real-time updates." in browser.get(sdk).content.decode()
    response = browser.post(f"{sdk}realtime/", {"enabled": "true"}, follow=True)
    assert "Real-time updates are not available: the organisation has the plan" in response.content.decode()
    project.refresh_from_db()
    assert not project.enable_realtime_updates


def test_sdk__another_tenant__404(sdk: str, client: Client) -> None:
    client.force_login(FFAdminUser.objects.create_user("other@example.com", "pa55-word-1"))
    for path in ("", "realtime/", "keys/", "keys/1/revoke/"):
        assert client.post(f"{sdk}{path}", {"enabled": "true"}).status_code in (404, 405)
        assert client.get(f"{sdk}{path}").status_code == 404


def test_server_keys__created_used_and_revoked(
    browser: Client, sdk: str, environment: Environment, client: Client
) -> None:
    invalid = browser.post(f"{sdk}keys/?env={environment.api_key}", {"name": ""})
    assert (invalid.status_code, b'id="key-name-wrong"' in invalid.content) == (400, True)
    assert browser.post(f"{sdk}keys/?env=nothing", {"name": "Backend"}).status_code == 404

    name = "<b>Back & end</b>"
    page = browser.post(f"{sdk}keys/?env={environment.api_key}", {"name": name}, follow=True).content.decode()
    key = environment.api_keys.get()
    assert escape(name) in page
    assert name not in page
    assert f"environment_key=&quot;{key.key}&quot;" in page
    document = {"path": "/api/v1/environment-document/", "headers": {"X-Environment-Key": key.key}}
    assert client.get(**document).status_code == 200  # type: ignore[arg-type]

    url = f"{sdk}keys/{key.pk}/revoke/?env={environment.api_key}"
    assert escape(name) in browser.get(url).content.decode()
    assert environment.api_keys.exists()
    assert browser.post(url)["Location"] == sdk
    assert not environment.api_keys.exists()
    assert client.get(**document).status_code in (401, 403)  # type: ignore[arg-type]


def test_snippets__addresses_and_keys_of_this_server_and_environment(
    browser: Client, sdk: str, environment: Environment, settings: Settings
) -> None:
    def shown(**headers: Any) -> str:
        return browser.get(f"{sdk}?env={environment.api_key}", **headers).content.decode().replace("&quot;", '"')

    settings.PUBLIC_URL = "https://flags.example.com"
    page = shown()
    assert 'eventSourceUrl: "https://flags.example.com/"' in page
    assert page.count(environment.api_key) >= 6
    for name in ("Go", "Node", "React Native", "OpenFeature in browsers", "OpenFeature in Python"):
        assert f">{name}<" in page
    assert 'environment_key="SERVER_KEY"' in page
    settings.PUBLIC_URL = "http://localhost:8000"
    page = shown(HTTP_HOST="192.0.2.7:9000")
    assert f'curl -N "http://192.0.2.7:9000/sse/environments/{environment.api_key}/stream"' in page
    page = shown(HTTP_HOST="localhost:9000")
    assert 'baseUrl = "http://10.0.2.2:9000/api/v1/"' in page
    assert 'api: "http://localhost:9000/api/v1/"' in page


def test_environment_menu__other_environment__same_page_there(
    browser: Client, sdk: str, base_path: str, project: Project, make_feature: Callable[..., Feature]
) -> None:
    other = Environment.objects.create(project=project, name="Other")
    other_path = f"/projects/{project.pk}/environments/{other.api_key}/"
    feature = make_feature("banner")
    assert (
        f'href="{other_path}features/{feature.pk}/"'
        in browser.get(f"{base_path}features/{feature.pk}/").content.decode()
    )
    assert f'href="{other_path}features/?search=a"' in browser.get(f"{base_path}features/?search=a").content.decode()
    page = browser.get(sdk).content.decode()
    assert f'href="{sdk}?env={other.api_key}"' in page
    assert f'id="environment-key">{other.api_key}<' in browser.get(f"{sdk}?env={other.api_key}").content.decode()
    # The environment stays selected.
    assert f'id="environment-key">{other.api_key}<' in browser.get(sdk).content.decode()


def test_sdk__fifty_environments__few_queries(
    browser: Client, sdk: str, project: Project, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    Environment.objects.bulk_create(Environment(project=project, name=f"e{number}") for number in range(50))
    with django_assert_max_num_queries(12):
        page = browser.get(sdk)
    assert page.status_code == 200
    assert b"data-filter" in page.content


def test_general__admin__saved_or_errors_at_the_fields(
    browser: Client, viewer_browser: Client, project: Project
) -> None:
    url = f"/projects/{project.pk}/settings/"
    form = {"name": "<i>Shop</i>", "hide_disabled_flags": "on", "feature_name_regex": "", "stale_flags_limit_days": "9"}
    saved = browser.post(url, form, follow=True)
    assert saved.redirect_chain == [(url, 303)]
    assert "&lt;i&gt;Shop" in saved.content.decode()
    project.refresh_from_db()
    assert (project.name, project.hide_disabled_flags, project.stale_flags_limit_days) == ("<i>Shop</i>", True, 9)
    assert project.minimum_change_request_approvals is None

    invalid = browser.post(url, {**form, "feature_name_regex": "(", "name": ""})
    page = invalid.content.decode()
    assert invalid.status_code == 400
    assert 'aria-describedby="regex-wrong"' in page
    assert 'id="name-wrong"' in page
    rejected = viewer_browser.post(url, form)
    assert rejected.status_code == 403
    assert "disabled" in viewer_browser.get(url).content.decode()


def test_delete__project__only_with_its_name(browser: Client, project: Project) -> None:
    url = f"/projects/{project.pk}/settings/delete/"
    assert browser.post(url, {"name": "no"}).status_code == 400
    assert browser.post(url, {"name": project.name})["Location"] == "/"
    assert not Project.objects.filter(pk=project.pk).exists()
