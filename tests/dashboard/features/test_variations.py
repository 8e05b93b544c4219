"""Variations: the multivariate options of a feature."""

import pytest
from django.test import Client

from features.models import Feature

pytestmark = pytest.mark.django_db


def test_variation__added_changed_removed(browser: Client, page: str, feature: Feature) -> None:
    form = {"kind": "number", "value": "3", "weight": "30"}
    response = browser.post(f"{page}variations/new/", form, follow=True)
    assert response.redirect_chain == [(f"{page}variations/", 303)]
    option = feature.multivariate_options.get()
    assert (option.value, option.default_percentage_allocation) == (3, 30.0)
    assert "30 % in Development" in response.content.decode()
    browser.post(f"{page}variations/{option.pk}/", {"kind": "text", "value": "3", "weight": "30"})
    option.refresh_from_db()
    assert option.value == "3"
    response = browser.post(f"{page}variations/{option.pk}/", {"kind": "text", "value": "4", "weight": "101"})
    assert (response.status_code, 'value="101"' in response.content.decode()) == (400, True)
    response = browser.post(f"{page}variations/new/", {"kind": "text", "value": "b", "weight": "71"})
    assert "Invalid percentage allocation" in response.content.decode().split("new-weight-messages")[-1]
    browser.post(f"{page}variations/{option.pk}/delete/")
    feature.refresh_from_db()
    assert (feature.multivariate_options.count(), feature.type) == (0, "STANDARD")
    assert browser.get(f"{page}variations/{option.pk}/").status_code == 404
