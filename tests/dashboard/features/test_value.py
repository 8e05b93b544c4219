"""What everybody gets of a feature: its value, of any type, and the weights of its variations."""

from typing import Any

import pytest
from django.test import Client

from environments.models import Environment
from features.models import Feature, FeatureState
from tests.dashboard.features.forms import checked, form, said

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "sent, stored, kind",
    [
        (form("text", "1"), "1", "text"),
        (form("number", "1"), 1, "number"),
        (form("number", " -12 "), -12, "number"),
        (form("boolean", "ignored", truth="true"), True, "boolean"),
        (form("boolean", truth="false"), False, "boolean"),
        (form("text", "true"), "true", "text"),
        (form("json", '{"a": [1]}'), '{"a": [1]}', "json"),
        (form("text", "one\r\ntwo"), "one\ntwo", "text"),
    ],
)
def test_value__of_each_type__stored_as_that_and_shown_as_that(
    sent: dict[str, str],
    stored: Any,
    kind: str,
    browser: Client,
    page: str,
    environment: Environment,
    feature: Feature,
) -> None:
    answer = browser.post(page, {**sent, "enabled": "on"}, follow=True)
    assert answer.redirect_chain == [(page, 303)]
    enabled, value = said(environment, feature)
    assert (enabled, value, type(value)) == (True, stored, type(stored))
    content = answer.content.decode()
    assert checked(content, "kind") == [kind]
    # To send what is shown changes nothing: the page's own truth goes the whole way round.
    before = Environment.objects.get(pk=environment.pk).updated_at
    browser.post(page, {**sent, "enabled": "on"})
    assert Environment.objects.get(pk=environment.pk).updated_at == before


def test_value__none_and_left_empty__stays_none(
    browser: Client, page: str, environment: Environment, feature: Feature
) -> None:
    browser.post(page, form(enabled="on"))
    assert said(environment, feature) == (True, None)


@pytest.mark.parametrize(
    "sent, sentence",
    [
        (form("number", "twelve"), "is not a valid integer"),
        (form("number", "2147483648"), "is not a valid integer"),
        (form("json", "{a: 1}"), "This is not JSON"),
        (form("json", "[NaN]"), "This is not JSON"),
        (form("text", "x" * 20_001), "no more than 20000 characters"),
        (form("boolean", truth="perhaps"), "is not a valid boolean"),
    ],
)
def test_value__wrong__said_beside_it_and_typed_text_kept(
    sent: dict[str, str], sentence: str, browser: Client, page: str, environment: Environment, feature: Feature
) -> None:
    answer = browser.post(page, {**sent, "enabled": "on"})
    content = answer.content.decode()
    assert answer.status_code == 400
    assert sentence in content.split("everybody-value-messages")[2]
    assert 'aria-invalid="true"' in content
    assert checked(content, "kind") == [sent["kind"]]
    assert sent["value"].replace("&", "&amp;") in content
    assert said(environment, feature) == (False, None)


def test_weights__sum_too_large__refused_beside_them(
    browser: Client, page: str, options: list[Any], environment: Environment, feature: Feature
) -> None:
    content = browser.get(page).content.decode()
    assert "<output data-control>60</output>" in content
    weights = {f"weight-{each.pk}": "60" for each in options}
    answer = browser.post(page, form(**weights))
    content = answer.content.decode()
    assert answer.status_code == 400
    assert "exceed 100%" in content.split("everybody-weights-messages")[-1]
    assert 'value="60"' in content
    answer = browser.post(page, form("text", "red", enabled="on", **{**weights, f"weight-{options[0].pk}": "40"}))
    assert answer.status_code == 303
    state = FeatureState.objects.get(environment=environment, feature=feature, feature_segment=None)
    shares = state.multivariate_feature_state_values.values_list("percentage_allocation", flat=True)
    assert (list(shares), said(environment, feature)) == ([40.0, 60.0], (True, "red"))
