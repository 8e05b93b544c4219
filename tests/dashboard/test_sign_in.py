"""Signing in and out: by the API's rules, into a session of its own."""

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

RIGHT = {"email": "Admin@example.com", "password": "pa55-word-1"}


def test_sign_in__right_password__page_that_was_asked_for_and_a_new_session(
    client: Client, user: FFAdminUser, place: str
) -> None:
    wanted = f"{place}features/?search=a&page=2"
    form = client.get(f"/sign-in/?{urlencode({'next': wanted})}")
    assert f'name="next" value="{wanted.replace("&", "&amp;")}"' in form.content.decode()
    client.session.save()
    planted = client.session.session_key
    Session.objects.create(session_key="old", session_data="", expire_date=datetime(2020, 1, 1, tzinfo=UTC))

    answer = client.post("/sign-in/", {**RIGHT, "next": wanted})

    assert (answer.status_code, answer["Location"]) == (303, wanted)
    assert client.session.session_key != planted
    assert not Session.objects.filter(pk="old").exists()
    assert client.get(wanted).status_code == 200
    again = client.get(f"/sign-in/?{urlencode({'next': wanted})}")
    assert (again.status_code, again["Location"]) == (303, wanted)


@pytest.mark.parametrize("wanted", ["https://example.com/", "//example.com/", "/\\example.com", "javascript:alert(1)"])
def test_sign_in__next_is_not_ours__home(client: Client, user: FFAdminUser, wanted: str) -> None:
    assert client.post("/sign-in/", {**RIGHT, "next": wanted})["Location"] == "/"


def test_sign_in__wrong_password__form_with_address_and_reason(client: Client, user: FFAdminUser) -> None:
    answer = client.post("/sign-in/", {**RIGHT, "password": "nope-secret"})
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "Unable to log in with provided credentials." in page
    assert 'value="Admin@example.com"' in page
    assert "nope-secret" not in page
    assert client.get("/").status_code == 302


def test_sign_out__signed_in__session_gone_and_token_stays(client: Client, user: FFAdminUser) -> None:
    client.post("/sign-in/", RIGHT)
    old = client.cookies["sessionid"].value

    answer = client.post("/sign-out/")

    assert (answer.status_code, answer["Location"]) == (303, "/sign-in/")
    assert Token.objects.filter(user=user).exists()
    client.cookies["sessionid"] = old
    assert client.get("/").status_code == 302
    assert client.get("/sign-out/").status_code == 405


def test_session__gone_while_a_page_is_open__whole_browser_to_the_sign_in_and_back(
    client: Client, user: FFAdminUser, place: str
) -> None:
    shown = f"http://testserver{place}features/?search=a"
    htmx = {"HX-Request": "true", "HX-Current-URL": shown, "HX-Boosted": "true"}
    wanted = urlencode({"next": f"{place}features/?search=a"})
    for answer in (
        client.get(f"{place}features/", headers=htmx),
        client.post(f"{place}features/1/toggle/", {"enabled": "true"}, headers=htmx),
    ):
        assert (answer.status_code, answer["HX-Redirect"]) == (200, f"/sign-in/?{wanted}")


@pytest.mark.parametrize("problem, status", [(OperationalError("gone"), 503), (RuntimeError("secret"), 500)])
def test_page__failure_of_ours_database_away_too__a_page_that_asks_it_nothing(
    browser: Client, monkeypatch: pytest.MonkeyPatch, problem: Exception, status: int
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise problem

    monkeypatch.setattr(SessionStore, "load", fail)
    answer = browser.get("/")
    page = answer.content.decode()
    assert (answer.status_code, f'data-status="{status}"' in page, "secret" in page) == (status, True, False)
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert ("Retry-After" in answer) == (status == 503)


def test_cookies__session_and_token_of_forms__no_script_and_no_other_site_gets_them(
    client: Client, user: FFAdminUser
) -> None:
    client.get("/sign-in/")
    client.post("/sign-in/", RIGHT)
    for name in ("sessionid", "csrftoken"):
        assert client.cookies[name]["httponly"], name
        assert client.cookies[name]["samesite"] == "Lax", name
