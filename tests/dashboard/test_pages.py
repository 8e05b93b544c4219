"""What every page does: a place in it for those who may see it, and HTML for all others."""

from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from django.test import Client

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
