"""Bodies and queries that a change request's endpoints refuse."""

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
def test_list__bad_filter__refused_by_name(admin: APIClient, listing: str, query: str, field: str) -> None:
    answer = admin.get(f"{listing}?{query}")
    assert answer.status_code == 400
    assert list(answer.json()) == [field]


def unknown(pk: int) -> list[str]:
    return [f'Invalid pk "{pk}" - object does not exist.']


NO_VERSIONS = ["Feature versioning v2 is not supported. Send feature_states instead."]
NO_LIST = {"non_field_errors": ['Expected a list of items but got type "dict".']}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"title": None}, {"title": ["This field may not be null."]}),
        ({"title": "x" * 501}, {"title": ["Ensure this field has no more than 500 characters."]}),
        ({"feature_states": None}, {"feature_states": ["This field may not be null."]}),
        ({"feature_states": {}}, {"feature_states": NO_LIST}),
        ({"feature_states": [{}]}, {"feature_states": [{"feature": ["This field is required."]}]}),
        ({"feature_states": [{"feature": 999_999}]}, {"feature_states": [{"feature": unknown(999_999)}]}),
        ({"approvals": [{"user": 999_999}]}, {"approvals": [{"user": unknown(999_999)}]}),
        ({"group_assignments": [{"group": 1}]}, {"group_assignments": [{"group": unknown(1)}]}),
        ({"change_sets": [{"feature": 1}]}, {"change_sets": NO_VERSIONS}),
        ({"environment_feature_versions": ["6f3b6e0e"]}, {"environment_feature_versions": NO_VERSIONS}),
    ],
)
def test_creation__bad_body__refused_by_name_and_nothing_stored(
    admin: APIClient, creation: str, change: dict[str, Any], error: dict[str, Any]
) -> None:
    answer = admin.post(creation, {"title": "t", "feature_states": [], **change}, "json")
    assert (answer.status_code, answer.json()) == (400, error)
    assert ChangeRequest.objects.count() == 0


def test_creation__bad_states__refused_in_their_order(
    admin: APIClient,
    creation: str,
    environment: Environment,
    production: Environment,
    make_feature: Callable[..., Feature],
    feature: Feature,
    segment: Segment,
) -> None:
    second = make_feature("second")
    elsewhere = FeatureSegment.objects.create(feature=feature, environment=production, segment=segment)
    of_second = FeatureSegment.objects.create(feature=second, environment=environment, segment=segment)
    option = MultivariateFeatureOption.objects.create(feature=second)
    share = {"multivariate_feature_option": option.pk, "percentage_allocation": 60}
    states = [
        {"feature": feature.pk},
        {"feature": feature.pk, "feature_segment": elsewhere.pk},
        {"feature": feature.pk, "feature_segment": of_second.pk},
        {"feature": feature.pk, "multivariate_feature_state_values": [share]},
        {"feature": second.pk, "multivariate_feature_state_values": [share, share]},
    ]
    answer = admin.post(creation, {"title": "t", "feature_states": states}, "json")
    assert answer.status_code == 400
    assert answer.json() == {
        "feature_states": [
            {},
            {"feature_segment": unknown(elsewhere.pk)},
            {"feature_segment": ["Feature segment does not belong to feature."]},
            {"multivariate_feature_state_values": [{"multivariate_feature_option": unknown(option.pk)}]},
            {"non_field_errors": ["Multivariate percentage values exceed 100%."]},
        ]
    }


def test_creation__two_states_of_one_place__refused(admin: APIClient, creation: str, feature: Feature) -> None:
    body = {"title": "t", "feature_states": [{"feature": feature.pk}, {"feature": feature.pk, "enabled": True}]}
    answer = admin.post(creation, body, "json")
    assert answer.status_code == 400
    message = "This request has a state for the same feature and segment already."
    assert answer.json() == {"feature_states": [{}, {"feature": [message]}]}


def test_creation__environment_with_versions__refused_in_both_words(
    admin: APIClient, creation: str, environment: Environment
) -> None:
    Environment.objects.filter(pk=environment.pk).update(use_v2_feature_versioning=True)
    answer = admin.post(creation, {"title": "t", "feature_states": []}, "json")
    message = "This environment uses v2 feature versioning. Publish a version instead."
    assert (answer.status_code, answer.json()) == (400, {"detail": message, "message": message})


@pytest.mark.parametrize(("field", "name"), [("feature_states", "feature"), ("approvals", "user")])
def test_edit__item_without_what_it_needs__refused_by_name(
    admin: APIClient, propose: Callable[..., Any], field: str, name: str
) -> None:
    answer = admin.patch(f"{REQUESTS}{propose()['id']}/", {field: [{}]}, "json")
    assert (answer.status_code, answer.json()) == (400, {field: [{name: ["This field is required."]}]})
