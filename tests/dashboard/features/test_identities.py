"""Identity overrides of a feature."""

import pytest
from django.test import Client

from environments.identities.models import Identity
from environments.models import Environment
from features.models import Feature, FeatureState
from realtime.conf import conf
from tests.dashboard.features.forms import live_state, state_form

pytestmark = pytest.mark.django_db


def test_identity_override__added_changed_toggled_removed(
    browser: Client, page: str, environment: Environment, feature: Feature
) -> None:
    before = Environment.objects.get(pk=environment.pk)
    content = browser.get(f"{page}identities/").content.decode()
    assert "Not announced in real time." in content
    response = browser.post(f"{page}identities/new/", state_form("number", "7", enabled="on", chosen=" ada "))
    assert (response.status_code, response["Location"]) == (303, f"{page}identities/")
    identity = Identity.objects.get(identifier="ada")
    assert live_state(environment, feature, identity=identity) == (True, 7)
    content = browser.get(f"{page}identities/?search=AD").content.decode()
    assert 'aria-label="On for ada"' in content
    assert "ada" not in browser.get(f"{page}identities/?search=x%00").content.decode().split("<main")[1]
    browser.post(f"{page}identities/{identity.pk}/", state_form("boolean", truth="true", enabled="on"))
    assert live_state(environment, feature, identity=identity) == (True, True)
    browser.post(f"{page}identities/{identity.pk}/toggle/", {"enabled": "false"})
    assert live_state(environment, feature, identity=identity) == (False, True)
    response = browser.post(f"{page}identities/new/", state_form(chosen="ada"))
    assert "This identity overrides the feature already." in response.content.decode()
    assert "Remove the override for ada?" in browser.get(f"{page}identities/{identity.pk}/delete/").content.decode()
    browser.post(f"{page}identities/{identity.pk}/delete/")
    assert not FeatureState.objects.filter(identity=identity).exists()
    assert browser.get(f"{page}identities/{identity.pk}/").status_code == 404
    # The version is unchanged, so there was no event.
    assert Environment.objects.get(pk=environment.pk).updated_at == before.updated_at


@pytest.mark.parametrize("chosen", ["", "x\0", "x" * 3000])
def test_identity_override__invalid_identifier__error_at_the_field_and_nothing_created(
    chosen: str, browser: Client, page: str
) -> None:
    response = browser.post(f"{page}identities/new/", state_form(chosen=chosen))
    content = response.content.decode()
    assert response.status_code == 400
    assert 'class="wrong"' in content.split('id="new-chosen-messages"')[1]
    assert not Identity.objects.exists()


def test_identity_override__invalid_value__no_identity_created(browser: Client, page: str) -> None:
    response = browser.post(f"{page}identities/new/", state_form("number", "many", chosen="ada"))
    assert response.status_code == 400
    assert "A valid integer is required." in response.content.decode()
    assert not Identity.objects.exists()


def test_identities__announced_by_a_setting__page_shows_it(
    browser: Client, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(conf), "ANNOUNCE_IDENTITY_OVERRIDES", True)
    content = browser.get(f"{page}identities/").content.decode()
    assert "Not announced" not in content
    assert "Announced in real time" in content
