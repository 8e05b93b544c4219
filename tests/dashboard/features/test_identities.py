"""A feature's overrides for single identities."""

import pytest
from django.test import Client

from environments.identities.models import Identity
from environments.models import Environment
from features.models import Feature, FeatureState
from realtime.conf import conf
from tests.dashboard.features.forms import form, said

pytestmark = pytest.mark.django_db


def test_identity_override__added_changed_toggled_removed(
    browser: Client, page: str, environment: Environment, feature: Feature
) -> None:
    before = Environment.objects.get(pk=environment.pk)
    content = browser.get(f"{page}identities/").content.decode()
    assert "Not announced in real time." in content
    answer = browser.post(f"{page}identities/new/", form("number", "7", enabled="on", chosen=" ada "))
    assert (answer.status_code, answer["Location"]) == (303, f"{page}identities/")
    identity = Identity.objects.get(identifier="ada")
    assert said(environment, feature, identity=identity) == (True, 7)
    content = browser.get(f"{page}identities/?search=AD").content.decode()
    assert 'aria-label="On for ada"' in content
    assert "ada" not in browser.get(f"{page}identities/?search=x%00").content.decode().split("<main")[1]
    browser.post(f"{page}identities/{identity.pk}/", form("boolean", truth="true", enabled="on"))
    assert said(environment, feature, identity=identity) == (True, True)
    browser.post(f"{page}identities/{identity.pk}/toggle/", {"enabled": "false"})
    assert said(environment, feature, identity=identity) == (False, True)
    answer = browser.post(f"{page}identities/new/", form(chosen="ada"))
    assert "This identity overrides the feature already." in answer.content.decode()
    assert "Remove the override for ada?" in browser.get(f"{page}identities/{identity.pk}/delete/").content.decode()
    browser.post(f"{page}identities/{identity.pk}/delete/")
    assert not FeatureState.objects.filter(identity=identity).exists()
    assert browser.get(f"{page}identities/{identity.pk}/").status_code == 404
    # What the page says is true: no stream was told of any of it.
    assert Environment.objects.get(pk=environment.pk).updated_at == before.updated_at


@pytest.mark.parametrize("chosen", ["", "x\0", "x" * 3000])
def test_identity_override__bad_identifier__said_beside_it_and_nothing_made(
    chosen: str, browser: Client, page: str
) -> None:
    answer = browser.post(f"{page}identities/new/", form(chosen=chosen))
    content = answer.content.decode()
    assert answer.status_code == 400
    assert 'class="wrong"' in content.split('id="new-chosen-messages"')[1]
    assert not Identity.objects.exists()


def test_identity_override__bad_value__identity_is_not_made_either(browser: Client, page: str) -> None:
    answer = browser.post(f"{page}identities/new/", form("number", "many", chosen="ada"))
    assert answer.status_code == 400
    assert "A valid integer is required." in answer.content.decode()
    assert not Identity.objects.exists()


def test_identities__announced_by_a_setting__page_says_so(
    browser: Client, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(conf), "ANNOUNCE_IDENTITY_OVERRIDES", True)
    content = browser.get(f"{page}identities/").content.decode()
    assert "Not announced" not in content
    assert "Announced in real time" in content
