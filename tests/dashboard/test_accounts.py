"""Accounts: lock-out, registration, invitations, passwords and the second factor."""

import re
from typing import Any

import pytest
from django.core import mail as outbox
from django.core.cache import cache
from django.test import Client
from django_otp.plugins.otp_totp.models import TOTPDevice
from pytest_django import DjangoAssertNumQueries, Settings

from core import mail
from organisations.invites.models import Invite
from organisations.models import Organisation
from tests.dashboard.conftest import signed_in_browser
from tests.support.accounts import code_of
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db

CREDENTIALS = {"email": "admin@example.com", "password": "pa55-word-1"}
NEW = "a-New-0ne-indeed"


@pytest.fixture(autouse=True)
def _reset_login_counters() -> None:
    cache.clear()


@pytest.mark.parametrize("email", ["admin@example.com", "nobody@example.com"])
def test_sign_in__after_many_failures__429_with_the_waiting_time(
    client: Client, user: FFAdminUser, settings: Settings, email: str
) -> None:
    settings.LOGIN_FAILURES_RATE = "3/15min"
    attempts = [client.post("/sign-in/", {"email": email, "password": "nope"}) for _ in range(3)]
    locked = client.post("/sign-in/", {**CREDENTIALS, "email": email})
    assert [each.status_code for each in attempts] == [400] * 3
    assert locked.status_code == 429
    assert 800 < int(locked["Retry-After"]) <= 900
    assert "Too many attempts. Try again in 15 minutes." in locked.content.decode()
    assert client.get("/").status_code == 302


def test_second_factor__required_and_missing__only_its_setup_is_allowed(
    browser: Client,
    client: Client,
    user: FFAdminUser,
    organisation: Organisation,
    base_path: str,
    settings: Settings,
) -> None:
    Organisation.objects.update(force_2fa=True)
    for path in ("/", f"{base_path}features/", "/projects/new/"):
        assert browser.get(path)["Location"] == "/account/second-factor/"
    assert browser.post("/organisations/new/", {"name": "Mine"})["Location"] == "/account/second-factor/"
    assert "wants a second factor from its members" in browser.get("/account/second-factor/").content.decode()

    page = browser.post("/account/second-factor/").content.decode()
    assert 'src="data:image/svg+xml' in page
    invalid = browser.post("/account/second-factor/", {"code": "000000"})
    assert (invalid.status_code, 'id="code-wrong"' in invalid.content.decode()) == (400, True)
    TOTPDevice.objects.update(throttling_failure_count=0)
    code = code_of(user, confirmed=False)
    codes = re.findall(
        "<li><code>(.+?)</code></li>", _set_up_second_factor(browser, {"code": f"{code[:3]} {code[3:]}"})
    )
    assert len(codes) == 5
    assert browser.get("/").status_code == 200

    password_accepted = client.post("/sign-in/", {**CREDENTIALS, "next": f"{base_path}features/"})
    assert password_accepted["Location"].startswith("/sign-in/code/?next=/projects/")
    assert client.get("/").status_code == 302
    rejected = client.post(password_accepted["Location"], {"code": "nope"})
    assert (rejected.status_code, "Invalid or expired code." in rejected.content.decode()) == (401, True)
    TOTPDevice.objects.update(throttling_failure_count=0)
    assert client.post(password_accepted["Location"], {"code": codes[0]})["Location"] == f"{base_path}features/"
    assert client.get(f"{base_path}features/").status_code == 200

    assert browser.get("/account/second-factor/end/").status_code == 200
    Organisation.objects.update(force_2fa=False)
    assert browser.post("/account/second-factor/end/")["Location"] == "/account/"
    assert not TOTPDevice.objects.exists()


def test_code_page__without_a_password_before__sign_in(client: Client, db: None) -> None:
    assert client.get("/sign-in/code/")["Location"] == "/sign-in/"
    assert client.post("/sign-in/code/", {"code": "1"})["Location"] == "/sign-in/"


def test_session__user_deactivated__ends(browser: Client, user: FFAdminUser) -> None:
    assert browser.get("/").status_code == 200
    FFAdminUser.objects.update(is_active=False)
    assert browser.get("/").status_code == 302


def test_session__page__user_and_second_factor_requirement_in_one_query(
    browser: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    # One query each for the session, the user, and the user's second factors.
    with django_assert_num_queries(3):
        assert browser.get("/account/").status_code == 200


def test_password__changed__this_session_stays_and_others_end(browser: Client, user: FFAdminUser) -> None:
    other_session = signed_in_browser(user)
    form = {"current_password": CREDENTIALS["password"], "new_password": NEW, "re_new_password": NEW}
    invalid = browser.post("/account/", {**form, "current_password": "nope"})
    assert (invalid.status_code, 'id="current_password-wrong"' in invalid.content.decode()) == (400, True)
    assert browser.post("/account/", form, follow=True).redirect_chain == [("/account/", 303)]
    assert browser.get("/").status_code == 200
    assert other_session.get("/").status_code == 302


def test_sign_up__new_user__signed_in_and_creates_an_organisation(client: Client, db: None) -> None:
    form = {"first_name": "<i>A", "last_name": "B", "email": "new@example.com", "password": NEW}
    weak = client.post("/sign-up/", {**form, "password": "123"})
    page = weak.content.decode()
    assert (weak.status_code, 'id="password-wrong"' in page, "&lt;i&gt;A" in page) == (400, True, True)
    response = client.post("/sign-up/", form, follow=True)
    assert response.redirect_chain == [("/", 303)]
    assert "/organisations/new/" in response.content.decode()

    created = client.post("/organisations/new/", {"name": "Mine"})
    assert created["Location"].startswith("/projects/new/?organisation=")
    organisation = created["Location"].partition("=")[2]
    empty = client.post("/projects/new/", {"name": "", "organisation": organisation})
    assert (empty.status_code, 'id="name-wrong"' in empty.content.decode()) == (400, True)
    project = client.post("/projects/new/", {"name": "Shop", "organisation": organisation})
    assert project["Location"].endswith("/first-steps/")
    assert client.get(project["Location"]).status_code == 200
    new_environment = f"{project['Location'].partition('/environments/')[0]}/environments/new/"
    staging = client.post(new_environment, {"name": "Staging", "description": ""}, follow=True)
    assert staging.redirect_chain[0][0].endswith("/features/")


def test_sign_up__registration_without_invite_disallowed__only_with_an_invitation(
    client: Client, organisation: Organisation, settings: Settings
) -> None:
    settings.ALLOW_REGISTRATION_WITHOUT_INVITE = False
    assert "/sign-up/" not in client.get("/sign-in/").content.decode()
    assert "New accounts need an invitation" in client.get("/sign-up/").content.decode()
    form = {"first_name": "A", "last_name": "B", "email": "new@example.com", "password": NEW}
    assert client.post("/sign-up/", form).status_code == 403

    invite = Invite.objects.create(organisation=organisation, email="new@example.com")
    path = f"/invite/{invite.hash}"
    assert f"/sign-up/?next={path}" in client.get(path).content.decode()
    assert client.post("/sign-up/", {**form, "next": path})["Location"] == path
    assert "Join the organisation" in client.get(path).content.decode()
    joined = client.post(path, follow=True)
    assert f"You belong to {organisation.name} now." in joined.content.decode()
    assert client.post(path).status_code == 404


def test_password_reset__link_in_the_mail__new_password_and_sessions_end(
    client: Client, browser: Client, user: FFAdminUser, settings: Settings
) -> None:
    settings.PUBLIC_URL = "https://flags.example.com"
    unknown = client.post("/password-reset/", {"email": "nobody@example.com"})
    known = client.post("/password-reset/", {"email": user.email})
    assert _without_tokens(unknown, "nobody@example.com") == _without_tokens(known, user.email)
    mail.wait()
    (message,) = outbox.outbox
    link = re.search(r"https://flags\.example\.com(/\S+)", str(message.body))
    assert link is not None
    assert client.get(link[1]).status_code == 200
    weak = client.post(link[1], {"new_password": NEW, "re_new_password": "other"})
    assert (weak.status_code, "didn&#x27;t match" in weak.content.decode()) == (400, True)

    assert client.post(link[1], {"new_password": NEW, "re_new_password": NEW})["Location"] == "/sign-in/"

    assert browser.get("/").status_code == 302
    assert client.post("/sign-in/", {**CREDENTIALS, "password": NEW})["Location"] == "/"
    again = client.post(link[1], {"new_password": NEW, "re_new_password": NEW})
    assert "This link has been used, or is too old." in again.content.decode()


def _set_up_second_factor(browser: Client, form: dict[str, str]) -> str:
    return browser.post("/account/second-factor/", form).content.decode()


def _without_tokens(response: Any, email: str) -> tuple[int, str]:
    page = re.sub('name="csrfmiddlewaretoken" value="[^"]*"', "", response.content.decode())
    return response.status_code, page.replace(email, "ADDRESS")
