"""Sign-in, sign-out, sessions and cookies."""

from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import OperationalError
from django.test import Client
from rest_framework.authtoken.models import Token

from users.models import FFAdminUser

pytestmark = pytest.mark.django_db

CREDENTIALS = {"email": "Admin@example.com", "password": "pa55-word-1"}


def test_sign_in__right_password__requested_page_and_a_new_session(
    client: Client, user: FFAdminUser, base_path: str
) -> None:
    wanted = f"{base_path}features/?search=a&page=2"
    form = client.get(f"/sign-in/?{urlencode({'next': wanted})}")
    assert f'name="next" value="{wanted.replace("&", "&amp;")}"' in form.content.decode()
    client.session.save()
    planted = client.session.session_key
    Session.objects.create(session_key="old", session_data="", expire_date=datetime(2020, 1, 1, tzinfo=UTC))

    response = client.post("/sign-in/", {**CREDENTIALS, "next": wanted})

    assert (response.status_code, response["Location"]) == (303, wanted)
    assert client.session.session_key != planted
    assert not Session.objects.filter(pk="old").exists()
    assert client.get(wanted).status_code == 200
    again = client.get(f"/sign-in/?{urlencode({'next': wanted})}")
    assert (again.status_code, again["Location"]) == (303, wanted)


@pytest.mark.parametrize("wanted", ["https://example.com/", "//example.com/", "/\\example.com", "javascript:alert(1)"])
def test_sign_in__next_on_another_site__home(client: Client, user: FFAdminUser, wanted: str) -> None:
    assert client.post("/sign-in/", {**CREDENTIALS, "next": wanted})["Location"] == "/"


def test_sign_in__wrong_password__form_with_address_and_reason(client: Client, user: FFAdminUser) -> None:
    response = client.post("/sign-in/", {**CREDENTIALS, "password": "nope-secret"})
    page = response.content.decode()
    assert response.status_code == 400
    assert "Unable to log in with provided credentials." in page
    assert 'value="Admin@example.com"' in page
    assert "nope-secret" not in page
    assert client.get("/").status_code == 302


def test_sign_out__signed_in__session_deleted_and_token_stays(client: Client, user: FFAdminUser) -> None:
    client.post("/sign-in/", CREDENTIALS)
    old = client.cookies["sessionid"].value

    response = client.post("/sign-out/")

    assert (response.status_code, response["Location"]) == (303, "/sign-in/")
    assert Token.objects.filter(user=user).exists()
    client.cookies["sessionid"] = old
    assert client.get("/").status_code == 302
    assert client.get("/sign-out/").status_code == 405


def test_session__ended_when_htmx_requests__full_redirect_to_sign_in_with_next(
    client: Client, user: FFAdminUser, base_path: str
) -> None:
    shown = f"http://testserver{base_path}features/?search=a"
    htmx = {"HX-Request": "true", "HX-Current-URL": shown, "HX-Boosted": "true"}
    wanted = urlencode({"next": f"{base_path}features/?search=a"})
    for response in (
        client.get(f"{base_path}features/", headers=htmx),
        client.post(f"{base_path}features/1/toggle/", {"enabled": "true"}, headers=htmx),
    ):
        assert (response.status_code, response["HX-Redirect"]) == (200, f"/sign-in/?{wanted}")


@pytest.mark.parametrize("problem, status", [(OperationalError("gone"), 503), (RuntimeError("secret"), 500)])
def test_page__database_unavailable__error_page_without_queries(
    browser: Client, monkeypatch: pytest.MonkeyPatch, problem: Exception, status: int
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise problem

    monkeypatch.setattr(SessionStore, "load", fail)
    response = browser.get("/")
    page = response.content.decode()
    assert (response.status_code, f'data-status="{status}"' in page, "secret" in page) == (status, True, False)
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert ("Retry-After" in response) == (status == 503)


def test_cookies__session_and_csrf_token__httponly_and_samesite(client: Client, user: FFAdminUser) -> None:
    client.get("/sign-in/")
    client.post("/sign-in/", CREDENTIALS)
    for name in ("sessionid", "csrftoken"):
        assert client.cookies[name]["httponly"], name
        assert client.cookies[name]["samesite"] == "Lax", name
