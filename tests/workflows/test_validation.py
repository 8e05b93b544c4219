"""Validation of bodies and query parameters of change requests."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureSegment
from features.multivariate.models import MultivariateFeatureOption
from features.workflows.core.models import ChangeRequest
from segments.models import Segment
from tests.workflows.conftest import REQUESTS

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("committed=perhaps", "committed"),
        ("feature_id=x", "feature_id"),
        ("segment_id=-1", "segment_id"),
        ("live_from_after=soon", "live_from_after"),
    ],
)
def test_list__invalid_parameter__rejected_with_field(admin: APIClient, listing: str, query: str, field: str) -> None:
    answer = admin.get(f"{listing}?{query}")
    assert answer.status_code == 400
    assert list(answer.json()) == [field]


def does_not_exist(pk: int) -> list[str]:
    return [f'Invalid pk "{pk}" - object does not exist.']


NO_VERSIONS = ["Feature versioning v2 is not supported. Send feature_states instead."]
NOT_A_LIST = {"non_field_errors": ['Expected a list of items but got type "dict".']}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"title": None}, {"title": ["This field may not be null."]}),
        ({"title": "x" * 501}, {"title": ["Ensure this field has no more than 500 characters."]}),
        ({"feature_states": None}, {"feature_states": ["This field may not be null."]}),
        ({"feature_states": {}}, {"feature_states": NOT_A_LIST}),
        ({"feature_states": [{}]}, {"feature_states": [{"feature": ["This field is required."]}]}),
        ({"feature_states": [{"feature": 999_999}]}, {"feature_states": [{"feature": does_not_exist(999_999)}]}),
        ({"approvals": [{"user": 999_999}]}, {"approvals": [{"user": does_not_exist(999_999)}]}),
        ({"group_assignments": [{"group": 1}]}, {"group_assignments": [{"group": does_not_exist(1)}]}),
        ({"change_sets": [{"feature": 999_999}]}, {"change_sets": [{"feature": does_not_exist(999_999)}]}),
        ({"change_sets": [{}]}, {"change_sets": [{"feature": ["This field is required."]}]}),
        ({"environment_feature_versions": ["6f3b6e0e"]}, {"environment_feature_versions": NO_VERSIONS}),
    ],
)
def test_create__invalid_field__rejected_with_field_and_nothing_stored(
    admin: APIClient, creation: str, fields: dict[str, Any], error: dict[str, Any]
) -> None:
    answer = admin.post(creation, {"title": "t", "feature_states": [], **fields}, "json")
    assert (answer.status_code, answer.json()) == (400, error)
    assert ChangeRequest.objects.count() == 0


def test_create__invalid_states__errors_in_their_order(
    admin: APIClient,
    creation: str,
    environment: Environment,
    production: Environment,
    make_feature: Callable[..., Feature],
    feature: Feature,
    segment: Segment,
) -> None:
    other = make_feature("second")
    in_production = FeatureSegment.objects.create(feature=feature, environment=production, segment=segment)
    of_other = FeatureSegment.objects.create(feature=other, environment=environment, segment=segment)
    option = MultivariateFeatureOption.objects.create(feature=other)
    share = {"multivariate_feature_option": option.pk, "percentage_allocation": 60}
    states = [
        {"feature": feature.pk},
        {"feature": feature.pk, "feature_segment": in_production.pk},
        {"feature": feature.pk, "feature_segment": of_other.pk},
        {"feature": feature.pk, "multivariate_feature_state_values": [share]},
        {"feature": other.pk, "multivariate_feature_state_values": [share, share]},
    ]
    answer = admin.post(creation, {"title": "t", "feature_states": states}, "json")
    assert answer.status_code == 400
    assert answer.json() == {
        "feature_states": [
            {},
            {"feature_segment": does_not_exist(in_production.pk)},
            {"feature_segment": ["Feature segment does not belong to feature."]},
            {"multivariate_feature_state_values": [{"multivariate_feature_option": does_not_exist(option.pk)}]},
            {"non_field_errors": ["Multivariate percentage values exceed 100%."]},
        ]
    }


def test_create__two_states_of_one_target__rejected(admin: APIClient, creation: str, feature: Feature) -> None:
    body = {"title": "t", "feature_states": [{"feature": feature.pk}, {"feature": feature.pk, "enabled": True}]}
    answer = admin.post(creation, body, "json")
    assert answer.status_code == 400
    message = "This request has a state for the same feature and segment already."
    assert answer.json() == {"feature_states": [{}, {"feature": [message]}]}


def test_create__environment_with_v2_versioning__rejected(
    admin: APIClient, creation: str, environment: Environment
) -> None:
    Environment.objects.filter(pk=environment.pk).update(use_v2_feature_versioning=True)
    answer = admin.post(creation, {"title": "t", "feature_states": []}, "json")
    message = "This environment uses v2 feature versioning. Publish a version instead."
    assert (answer.status_code, answer.json()) == (400, {"detail": message, "message": message})


@pytest.mark.parametrize(("field", "name"), [("feature_states", "feature"), ("approvals", "user")])
def test_edit__required_field_of_an_item_missing__rejected_with_field(
    admin: APIClient, propose: Callable[..., Any], field: str, name: str
) -> None:
    answer = admin.patch(f"{REQUESTS}{propose()['id']}/", {field: [{}]}, "json")
    assert (answer.status_code, answer.json()) == (400, {field: [{name: ["This field is required."]}]})
