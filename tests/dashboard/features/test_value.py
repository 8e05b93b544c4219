"""The environment default of a feature: its value, of any type, and the weights of its variations."""

from typing import Any

import pytest
from django.test import Client

from environments.models import Environment
from features.models import Feature, FeatureState
from tests.dashboard.features.forms import checked_values, live_state, state_form

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "form, stored, kind",
    [
        (state_form("text", "1"), "1", "text"),
        (state_form("number", "1"), 1, "number"),
        (state_form("number", " -12 "), -12, "number"),
        (state_form("boolean", "ignored", truth="true"), True, "boolean"),
        (state_form("boolean", truth="false"), False, "boolean"),
        (state_form("text", "true"), "true", "text"),
        (state_form("json", '{"a": [1]}'), '{"a": [1]}', "json"),
        (state_form("text", "one\r\ntwo"), "one\ntwo", "text"),
    ],
)
def test_value__of_each_type__stored_and_shown_with_its_type(
    form: dict[str, str],
    stored: Any,
    kind: str,
    browser: Client,
    page: str,
    environment: Environment,
    feature: Feature,
) -> None:
    response = browser.post(page, {**form, "enabled": "on"}, follow=True)
    assert response.redirect_chain == [(page, 303)]
    enabled, value = live_state(environment, feature)
    assert (enabled, value, type(value)) == (True, stored, type(stored))
    content = response.content.decode()
    assert checked_values(content, "kind") == [kind]
    # A second save of the shown state changes nothing.
    before = Environment.objects.get(pk=environment.pk).updated_at
    browser.post(page, {**form, "enabled": "on"})
    assert Environment.objects.get(pk=environment.pk).updated_at == before


def test_value__null_and_left_empty__stays_null(
    browser: Client, page: str, environment: Environment, feature: Feature
) -> None:
    browser.post(page, state_form(enabled="on"))
    assert live_state(environment, feature) == (True, None)


@pytest.mark.parametrize(
    "form, error",
    [
        (state_form("number", "twelve"), "is not a valid integer"),
        (state_form("number", "2147483648"), "is not a valid integer"),
        (state_form("json", "{a: 1}"), "This is not JSON"),
        (state_form("json", "[NaN]"), "This is not JSON"),
        (state_form("text", "x" * 20_001), "no more than 20000 characters"),
        (state_form("boolean", truth="perhaps"), "is not a valid boolean"),
    ],
)
def test_value__invalid__error_at_the_field_and_input_kept(
    form: dict[str, str], error: str, browser: Client, page: str, environment: Environment, feature: Feature
) -> None:
    response = browser.post(page, {**form, "enabled": "on"})
    content = response.content.decode()
    assert response.status_code == 400
    assert error in content.split("everybody-value-messages")[2]
    assert 'aria-invalid="true"' in content
    assert checked_values(content, "kind") == [form["kind"]]
    assert form["value"].replace("&", "&amp;") in content
    assert live_state(environment, feature) == (False, None)


def test_weights__sum_too_large__error_at_the_field(
    browser: Client, page: str, options: list[Any], environment: Environment, feature: Feature
) -> None:
    content = browser.get(page).content.decode()
    assert "<output data-control>60</output>" in content
    weights = {f"weight-{each.pk}": "60" for each in options}
    response = browser.post(page, state_form(**weights))
    content = response.content.decode()
    assert response.status_code == 400
    assert "exceed 100%" in content.split("everybody-weights-messages")[-1]
    assert 'value="60"' in content
    response = browser.post(
        page, state_form("text", "red", enabled="on", **{**weights, f"weight-{options[0].pk}": "40"})
    )
    assert response.status_code == 303
    state = FeatureState.objects.get(environment=environment, feature=feature, feature_segment=None)
    shares = state.multivariate_feature_state_values.values_list("percentage_allocation", flat=True)
    assert (list(shares), live_state(environment, feature)) == ([40.0, 60.0], (True, "red"))
