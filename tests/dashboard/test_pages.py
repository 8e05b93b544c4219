"""What every page does: a place in it for those who may see it, and HTML for all others."""

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


def test_page__not_signed_in__sign_in_that_leads_back(client: Client, place: str) -> None:
    page = f"{place}features/?search=a"
    answer = client.get(page)
    assert (answer.status_code, answer["Location"]) == (302, f"/sign-in/?{urlencode({'next': page})}")


def test_toggle__admin__state_changed_and_page_shows_it(
    browser: Client, place: str, make_feature: Callable[..., Feature], environment: Environment
) -> None:
    feature = make_feature("banner")
    before = environment.updated_at
    answer = browser.post(f"{place}features/{feature.pk}/toggle/", {"enabled": "true"}, follow=True)
    assert answer.status_code == 200
    assert answer.redirect_chain == [(f"{place}features/", 303)]
    assert b'aria-checked="true"' in answer.content
    assert FeatureState.objects.get(feature=feature, environment=environment).enabled
    environment.refresh_from_db()
    assert environment.updated_at > before


def test_toggle__member_without_rights__told_so_and_nothing_changed(
    member_browser: Client, place: str, make_feature: Callable[..., Feature]
) -> None:
    feature = make_feature("banner")
    assert member_browser.post(f"{place}features/{feature.pk}/toggle/", {"enabled": "true"}).status_code == 404


def test_page__forged_token__403_as_a_page(user: FFAdminUser, place: str, make_feature: Callable[..., Feature]) -> None:
    forger = Client(enforce_csrf_checks=True)
    forger.force_login(user)
    feature = make_feature("banner")
    answer = forger.post(f"{place}features/{feature.pk}/toggle/", {"enabled": "true"})
    assert answer.status_code == 403
    assert answer["Content-Type"].startswith("text/html")


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
def test_page__form_that_cannot_be_read__refused_by_a_page(
    user: FFAdminUser, place: str, make_feature: Callable[..., Feature], body: str, kind: str, status: int
) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    feature = make_feature("banner")
    answer = browser.post(f"{place}features/{feature.pk}/toggle/", body, content_type=kind)
    assert answer.status_code == status
    assert f'data-status="{status}"' in answer.content.decode()
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert "no-store" in answer["Cache-Control"]


def test_page__address_with_too_many_fields__400_as_a_page(browser: Client, place: str) -> None:
    answer = browser.get(f"{place}features/?{1_100 * '&x=y'}")
    assert (answer.status_code, b'data-status="400"' in answer.content) == (400, True)


def test_page__session_ends_meanwhile__sign_in(
    browser: Client, place: str, make_feature: Callable[..., Feature], monkeypatch: pytest.MonkeyPatch
) -> None:
    def sign_out_elsewhere(page: Toggle, request: HttpRequest, **kwargs: str) -> HttpResponse:
        Session.objects.all().delete()
        request.session["environment"] = "another"
        return page.redirect(page.list_url)

    monkeypatch.setattr(Toggle, "post", sign_out_elsewhere)
    answer = browser.post(f"{place}features/{make_feature('banner').pk}/toggle/", {"enabled": "true"})
    assert (answer.status_code, answer["Location"]) == (302, "/sign-in/?next=%2F")


def test_call__browser_that_takes_pages_alone__answered_as_ever(
    browser: Client, client: Client, user: FFAdminUser, place: str, make_feature: Callable[..., Feature]
) -> None:
    headers = {"Accept": "text/html", "Content-Encoding": "gzip"}
    feature = make_feature("banner")
    answer = browser.post(f"{place}features/{feature.pk}/toggle/", {"enabled": "true"}, headers=headers, follow=True)
    assert b'aria-checked="true"' in answer.content
    form = {"email": user.email, "password": "pa55-word-1"}
    assert client.post("/sign-in/", form, headers=headers).status_code == 303


@pytest.mark.parametrize("below", ["identities/{}/", "overrides/{}/", "variations/{}/"])
def test_page__number_that_no_database_has__404(
    browser: Client, place: str, make_feature: Callable[..., Feature], below: str
) -> None:
    page = f"{place}features/{make_feature('banner').pk}/{below.format(10**30)}"
    for path in (page, f"{page}delete/"):
        assert browser.get(path).status_code == 404, path
    for path in (page, f"{page}delete/", f"{page}toggle/"):
        assert browser.post(path, {"enabled": "true"}).status_code == 404, path
