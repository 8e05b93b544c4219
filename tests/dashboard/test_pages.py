"""Behaviour of all pages: sign-in, CSRF protection, malformed requests and errors as HTML."""

from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from django.contrib.sessions.models import Session
from django.http import HttpRequest, HttpResponse
from django.test import Client

from dashboard.features.views import Toggle
from environments.models import Environment
from features.models import Feature, FeatureState
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db


def test_page__not_signed_in__redirect_to_sign_in_with_next(client: Client, base_path: str) -> None:
    page = f"{base_path}features/?search=a"
    response = client.get(page)
    assert (response.status_code, response["Location"]) == (302, f"/sign-in/?{urlencode({'next': page})}")


def test_toggle__admin__state_changed_and_page_shows_it(
    browser: Client, base_path: str, make_feature: Callable[..., Feature], environment: Environment
) -> None:
    feature = make_feature("banner")
    before = environment.updated_at
    response = browser.post(f"{base_path}features/{feature.pk}/toggle/", {"enabled": "true"}, follow=True)
    assert response.status_code == 200
    assert response.redirect_chain == [(f"{base_path}features/", 303)]
    assert b'aria-checked="true"' in response.content
    assert FeatureState.objects.get(feature=feature, environment=environment).enabled
    environment.refresh_from_db()
    assert environment.updated_at > before


def test_toggle__member_without_permissions__404(
    member_browser: Client, base_path: str, make_feature: Callable[..., Feature]
) -> None:
    feature = make_feature("banner")
    assert member_browser.post(f"{base_path}features/{feature.pk}/toggle/", {"enabled": "true"}).status_code == 404


def test_page__missing_csrf_token__403_as_html(
    user: FFAdminUser, base_path: str, make_feature: Callable[..., Feature]
) -> None:
    forger = Client(enforce_csrf_checks=True)
    forger.force_login(user)
    feature = make_feature("banner")
    response = forger.post(f"{base_path}features/{feature.pk}/toggle/", {"enabled": "true"})
    assert response.status_code == 403
    assert response["Content-Type"].startswith("text/html")


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    "body, kind, status",
    [
        ("enabled=true&x=" + 1_100_000 * "y", FORM, 413),
        ("enabled=true" + 1_100 * "&x=y", FORM, 400),
        ("enabled=true", f"{FORM}; charset=utf-7", 400),
        ("enabled=true", "multipart/form-data", 400),
    ],
    ids=["bytes", "fields", "charset", "boundary"],
)
def test_page__malformed_form__error_as_html(
    user: FFAdminUser, base_path: str, make_feature: Callable[..., Feature], body: str, kind: str, status: int
) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    feature = make_feature("banner")
    response = browser.post(f"{base_path}features/{feature.pk}/toggle/", body, content_type=kind)
    assert response.status_code == status
    assert f'data-status="{status}"' in response.content.decode()
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert "no-store" in response["Cache-Control"]


def test_page__query_with_too_many_fields__400_as_html(browser: Client, base_path: str) -> None:
    response = browser.get(f"{base_path}features/?{1_100 * '&x=y'}")
    assert (response.status_code, b'data-status="400"' in response.content) == (400, True)


def test_page__session_ends_during_the_request__redirect_to_sign_in(
    browser: Client, base_path: str, make_feature: Callable[..., Feature], monkeypatch: pytest.MonkeyPatch
) -> None:
    def sign_out_elsewhere(page: Toggle, request: HttpRequest, **kwargs: str) -> HttpResponse:
        Session.objects.all().delete()
        request.session["environment"] = "another"
        return page.redirect(page.list_url)

    monkeypatch.setattr(Toggle, "post", sign_out_elsewhere)
    response = browser.post(f"{base_path}features/{make_feature('banner').pk}/toggle/", {"enabled": "true"})
    assert (response.status_code, response["Location"]) == (302, "/sign-in/?next=%2F")


def test_call__browser_accepts_only_html__api_calls_succeed(
    browser: Client, client: Client, user: FFAdminUser, base_path: str, make_feature: Callable[..., Feature]
) -> None:
    headers = {"Accept": "text/html", "Content-Encoding": "gzip"}
    feature = make_feature("banner")
    response = browser.post(
        f"{base_path}features/{feature.pk}/toggle/", {"enabled": "true"}, headers=headers, follow=True
    )
    assert b'aria-checked="true"' in response.content
    form = {"email": user.email, "password": "pa55-word-1"}
    assert client.post("/sign-in/", form, headers=headers).status_code == 303


@pytest.mark.parametrize("below", ["identities/{}/", "overrides/{}/", "variations/{}/"])
def test_page__primary_key_out_of_range__404(
    browser: Client, base_path: str, make_feature: Callable[..., Feature], below: str
) -> None:
    page = f"{base_path}features/{make_feature('banner').pk}/{below.format(10**30)}"
    for path in (page, f"{page}delete/"):
        assert browser.get(path).status_code == 404, path
    for path in (page, f"{page}delete/", f"{page}toggle/"):
        assert browser.post(path, {"enabled": "true"}).status_code == 404, path
