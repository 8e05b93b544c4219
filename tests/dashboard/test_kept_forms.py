"""Forms that are sent after the session has ended: kept through the sign-in for their own user and address."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client

from dashboard import kept_forms
from environments.models import Environment
from features.models import Feature, FeatureState
from organisations.models import Organisation
from tests.dashboard.conftest import signed_in_browser
from tests.dashboard.features.forms import form_data, state_form
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db

PASSWORD = "pa55-word-1"


@pytest.fixture
def ended(browser: Client, base_path: str) -> Client:
    """A browser whose session has ended after it had opened a page."""
    assert browser.get(f"{base_path}features/").status_code == 200
    Session.objects.all().delete()
    return browser


def sign_in(browser: Client, email: str, next_page: str) -> Any:
    form = {"email": email, "password": PASSWORD, "next": next_page}
    return browser.post("/sign-in/", form, follow=True)


def sent(browser: Client, path: str, **form: Any) -> str:
    """Send a form without a session. Returns the page that follows the sign-in."""
    response = browser.post(path, form)
    assert response.status_code == 302
    address = response["Location"]
    assert address.startswith("/sign-in/?next=")
    page: str = browser.get(address).context["page"].next
    return page


def test_form__session_ended__shown_again_after_the_sign_in_and_saved_then(
    ended: Client, user: FFAdminUser, base_path: str, feature: Feature, environment: Environment, state: FeatureState
) -> None:
    path = f"{base_path}features/{feature.pk}/"
    next_page = sent(ended, path, **state_form("text", "typed\r\nlines", enabled="on"))
    assert next_page == path
    session = Session.objects.get()
    assert session.expire_date.timestamp() - session.get_decoded()["kept_form"]["until"] < 5
    response = sign_in(ended, user.email, next_page)
    page = response.content.decode()
    assert kept_forms.RESTORED in page
    assert form_data(page, path)["value"].splitlines() == ["typed", "lines"]
    state.refresh_from_db()
    assert (state.enabled, state.feature_state_value.value) == (False, None)
    # The session has its usual age, and the form is there once.
    assert ended.session.get_expiry_age() > kept_forms.MAX_AGE_SECONDS
    assert ended.post(path, {**form_data(page, path), "action": "save"}).status_code == 303
    state.refresh_from_db()
    state.feature_state_value.refresh_from_db()
    assert (state.enabled, state.feature_state_value.value) == (True, "typed\nlines")
    assert kept_forms.RESTORED not in ended.get(path).content.decode()


def test_form__signed_in_again_in_another_window__shown_again_though_its_token_is_old(
    user: FFAdminUser, base_path: str, feature: Feature, state: FeatureState
) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    path = f"{base_path}features/{feature.pk}/"
    form = form_data(browser.get(path).content.decode(), path)
    Session.objects.all().delete()
    browser.force_login(user)
    del browser.cookies["csrftoken"]
    browser.get(f"{base_path}features/")
    age = browser.session.get_expiry_age()
    own, other = {"Origin": "http://testserver"}, {"Origin": "http://evil.example.com"}
    assert browser.post(path, {**form, "value": "typed"}, headers=other).status_code == 403
    assert browser.post("/account/", {**form, "value": "typed"}, headers=own).status_code == 403
    response = browser.post(path, {**form, "value": "typed"}, headers=own)
    assert (response.status_code, response["Location"]) == (302, path)
    page = browser.get(path).content.decode()
    assert kept_forms.RESTORED in page
    assert form_data(page, path)["value"] == "typed"
    assert browser.session.get_expiry_age() > age - 60
    state.feature_state_value.refresh_from_db()
    assert state.feature_state_value.value is None


def test_switch__session_ended__nothing_changed_and_message(
    ended: Client, user: FFAdminUser, base_path: str, feature: Feature, state: FeatureState
) -> None:
    next_page = sent(ended, f"{base_path}features/{feature.pk}/toggle/", enabled="true")
    page = sign_in(ended, user.email, next_page).content.decode()
    assert kept_forms.RESTORED in page
    state.refresh_from_db()
    assert not state.enabled


def test_form__another_user_signs_in__not_shown_and_removed(
    ended: Client, viewer: Client, member_user: FFAdminUser, user: FFAdminUser, base_path: str, feature: Feature
) -> None:
    path = f"{base_path}features/{feature.pk}/"
    next_page = sent(ended, path, **state_form("text", "typed"))
    assert "typed" not in sign_in(ended, member_user.email, next_page).content.decode()
    assert kept_forms.KEY not in ended.session


def test_form__another_address_or_too_late__not_shown(
    ended: Client, user: FFAdminUser, base_path: str, feature: Feature, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{base_path}features/{feature.pk}/"
    sent(ended, path, **state_form("text", "typed"))
    assert "typed" not in sign_in(ended, user.email, f"{path}?enabled=true").content.decode()
    assert kept_forms.KEY in ended.session
    now = kept_forms.time.time
    monkeypatch.setattr(kept_forms.time, "time", lambda: now() + kept_forms.MAX_AGE_SECONDS + 1)
    assert "typed" not in ended.get(path).content.decode()
    assert kept_forms.KEY not in ended.session


@pytest.mark.parametrize("change", ["nobody", "forged", "large", "password page"])
def test_form__nobodys_or_large_or_with_passwords__not_kept(
    change: str, ended: Client, base_path: str, feature: Feature
) -> None:
    path = f"{base_path}features/{feature.pk}/"
    form = state_form("text", "x" * kept_forms.MAX_BYTES if change == "large" else "typed")
    match change:
        case "nobody":
            del ended.cookies[kept_forms.OWNER_COOKIE]
        case "forged":
            ended.cookies[kept_forms.OWNER_COOKIE] = "1:forged"
        case "password page":
            path = "/account/"
    assert sent(ended, path, **form) == "/"
    assert not Session.objects.exists()


def test_form__secret_fields__not_kept(ended: Client, base_path: str) -> None:
    sent(ended, f"{base_path}features/new/", name="typed", Password="p", secret="s", csrfmiddlewaretoken="t")
    kept = Session.objects.get().get_decoded()[kept_forms.KEY]
    assert kept["form"] == "name=typed"


def test_every_form__restored__writes_nothing(
    user: FFAdminUser, organisation: Organisation, base_path: str, feature: Feature, state: FeatureState
) -> None:
    """A kept form is shown by the view that would save it: no call of the API may write."""
    project = state.environment.project
    paths = {
        f"{base_path}features/new/": {"name": "new"},
        f"{base_path}features/{feature.pk}/delete/": {},
        f"{base_path}features/{feature.pk}/archive/": {"archived": "true"},
        f"{base_path}features/{feature.pk}/identities/new/": state_form("text", "typed", chosen="ada"),
        f"{base_path}features/{feature.pk}/variations/new/": state_form("text", "typed", weight="5"),
        f"{base_path}features/{feature.pk}/settings/": {"description": "typed"},
        f"/projects/{project.pk}/settings/": {"name": "typed", "stale_flags_limit_days": "3"},
        f"/projects/{project.pk}/settings/sdk/realtime/": {"enabled": "false"},
        f"/projects/{project.pk}/segments/new/": {"name": "typed", "do": "save"},
        "/organisations/new/": {"name": "typed"},
        "/projects/new/": {"name": "typed", "organisation": str(organisation.pk)},
    }
    before = _rows()
    for path, form in paths.items():
        browser = signed_in_browser(user)
        browser.get(f"{base_path}features/")
        Session.objects.all().delete()
        response = sign_in(browser, user.email, sent(browser, path, **form))
        assert kept_forms.RESTORED in response.content.decode(), path
    assert _rows() == before


def _rows() -> list[Any]:
    models: list[Callable[[], Any]] = [
        lambda: list(Feature.objects.values("name", "description", "is_archived")),
        lambda: list(FeatureState.objects.values("pk", "enabled")),
        lambda: list(Organisation.objects.values("name", "projects__name", "projects__enable_realtime_updates")),
    ]
    return [each() for each in models]
