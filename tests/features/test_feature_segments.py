"""``features/feature-segments/``: segment overrides and their priorities."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from organisations.models import Organisation
from projects.models import Project
from segments.models import Segment

pytestmark = pytest.mark.django_db

PATH = "/api/v1/features/feature-segments/"
PRIORITIES = f"{PATH}update-priorities/"

READ_FIELDS = ["id", "uuid", "segment", "priority", "environment", "segment_name", "is_feature_specific"]
WRITE_FIELDS = ["id", "uuid", "feature", "segment", "environment", "priority"]


@pytest.fixture
def required(feature: Feature, environment: Environment, segment: Segment) -> dict[str, Any]:
    """Required fields of a body."""
    return {"feature": feature.pk, "segment": segment.pk, "environment": environment.pk}


@pytest.fixture
def priorities() -> Callable[[], list[tuple[str, int]]]:
    """Segment names and priorities, the lowest priority first."""
    return lambda: list(FeatureSegment.objects.values_list("segment__name", "priority"))


def test_list__feature_in_an_environment__ordered_by_priority(
    admin: APIClient,
    feature: Feature,
    environment: Environment,
    make_feature: Callable[..., Feature],
    make_override: Callable[..., FeatureSegment],
) -> None:
    make_override(feature, "b", 1)
    make_override(feature, "a", 0)
    make_override(make_feature("other"), "c", 0)
    query = f"?environment={environment.pk}&feature={feature.pk}"
    answer = admin.get(f"{PATH}{query}").json()
    assert answer["count"] == 2
    assert [each["segment_name"] for each in answer["results"]] == ["a", "b"]
    assert list(answer["results"][0]) == READ_FIELDS
    for number in range(10):
        make_override(feature, f"s{number}", 2 + number)
    assert len(admin.get(f"{PATH}{query}&page_size=5").json()["results"]) == 12


@pytest.mark.parametrize(
    "query, fields",
    [
        ("", ["environment", "feature"]),
        ("?environment={environment}", ["feature"]),
        ("?feature=1", ["environment"]),
        ("?environment=x&feature=y", ["environment", "feature"]),
        ("?environment={environment}&feature=99999999999", ["feature"]),
    ],
)
def test_list__parameters_missing_or_invalid__rejected_with_field(
    admin: APIClient, environment: Environment, query: str, fields: list[str]
) -> None:
    answer = admin.get(f"{PATH}{query.format(environment=environment.pk)}")
    assert (answer.status_code, list(answer.json())) == (400, fields)


def test_create__any_priority__appended(
    admin: APIClient, required: dict[str, Any], make_segment: Callable[[str], Segment]
) -> None:
    answer = admin.post(PATH, {**required, "priority": 7}, "json")
    assert answer.status_code == 201, answer.json()
    assert list(answer.json()) == WRITE_FIELDS
    assert answer.json()["priority"] == 0
    other = admin.post(PATH, {**required, "segment": make_segment("other").pk, "priority": 0}, "json")
    assert other.json()["priority"] == 1
    again = admin.post(PATH, required, "json")
    assert (again.status_code, again.json()["priority"]) == (201, 2)


def test_create__objects_of_another_project__rejected_with_field(
    admin: APIClient, required: dict[str, Any], organisation: Organisation
) -> None:
    other = Project.objects.create(name="other", organisation=organisation)
    feature = Feature.objects.create(name="f", project=other)
    segment = Segment.objects.create(name="s", project=other)
    for body in ({"feature": feature.pk}, {"segment": segment.pk}, {"segment": None}, {"feature": "x"}):
        answer = admin.post(PATH, {**required, **body}, "json")
        assert (answer.status_code, list(answer.json())) == (400, list(body))


def test_create__feature_specific_segment__only_for_its_feature(
    admin: APIClient, required: dict[str, Any], make_feature: Callable[..., Feature], project: Project
) -> None:
    other = make_feature("other")
    segment = Segment.objects.create(name="specific", project=project, feature=other)
    answer = admin.post(PATH, {**required, "segment": segment.pk}, "json")
    assert (answer.status_code, list(answer.json())) == (400, ["segment"])
    answer = admin.post(PATH, {**required, "segment": segment.pk, "feature": other.pk}, "json")
    assert answer.status_code == 201
    query = f"?environment={required['environment']}&feature={other.pk}"
    assert admin.get(f"{PATH}{query}").json()["results"][0]["is_feature_specific"] is True


@pytest.mark.parametrize("body", [{}, {"environment": None}, {"environment": "x"}, {"environment": 99_999}, []])
def test_create__without_an_environment__forbidden(admin: APIClient, body: Any) -> None:
    assert admin.post(PATH, body, "json").status_code == 403


def test_feature_segment__read_and_put__in_two_formats(
    admin: APIClient, required: dict[str, Any], make_segment: Callable[[str], Segment], production: Environment
) -> None:
    created = admin.post(PATH, required, "json").json()
    one = f"{PATH}{created['id']}/"
    assert list(admin.get(one).json()) == READ_FIELDS
    assert list(admin.get(f"{PATH}get-by-uuid/{created['uuid']}/").json()) == READ_FIELDS
    other = make_segment("other")
    answer = admin.put(one, {**required, "segment": other.pk, "priority": 9}, "json")
    assert (answer.status_code, list(answer.json())) == (200, WRITE_FIELDS)
    assert (answer.json()["segment"], answer.json()["priority"]) == (other.pk, 0)
    answer = admin.put(one, {**required, "environment": production.pk}, "json")
    assert (answer.status_code, list(answer.json())) == (400, ["environment"])
    assert admin.put(one, {"feature": required["feature"]}, "json").status_code == 400


def test_delete__override__state_deleted_and_priorities_closed_up(
    admin: APIClient,
    feature: Feature,
    make_override: Callable[..., FeatureSegment],
    priorities: Callable[[], list[tuple[str, int]]],
) -> None:
    first, *_ = [make_override(feature, name, priority) for priority, name in enumerate("abc")]
    assert admin.delete(f"{PATH}{first.pk}/").status_code == 204
    assert priorities() == [("b", 0), ("c", 1)]
    assert FeatureState.objects.filter(feature_segment__isnull=False).count() == 2
    assert FeatureStateValue.objects.filter(string_value="a").count() == 0
    assert admin.delete(f"{PATH}{first.pk}/").status_code == 404


@pytest.mark.parametrize(
    "requested, expected",
    [
        ({"a": 0}, "abcd"),
        ({"d": 0}, "dabc"),
        ({"a": 3}, "bcda"),
        ({"b": 2}, "acbd"),
        ({"a": 1, "b": 0}, "bacd"),
        ({"a": 3, "b": 2, "c": 1, "d": 0}, "dcba"),
        ({"d": 0, "c": 0}, "dcab"),
        ({"d": 1, "c": 1}, "adcb"),
    ],
)
def test_priorities__some_requested__others_fill_the_free_ones(
    admin: APIClient,
    feature: Feature,
    make_override: Callable[..., FeatureSegment],
    priorities: Callable[[], list[tuple[str, int]]],
    requested: dict[str, int],
    expected: str,
) -> None:
    feature_segments = {name: make_override(feature, name, priority) for priority, name in enumerate("abcd")}
    body = [{"id": feature_segments[name].pk, "priority": priority} for name, priority in requested.items()]
    answer = admin.post(PRIORITIES, body, "json")
    assert answer.status_code == 200
    assert [list(each) for each in answer.json()] == [READ_FIELDS] * len(requested)
    assert priorities() == list(zip(expected, range(4), strict=True))
    returned = {each["segment_name"]: each["priority"] for each in answer.json()}
    assert returned == {name: priority for name, priority in priorities() if name in requested}


def test_priorities__greater_than_the_last__kept(
    admin: APIClient,
    feature: Feature,
    make_override: Callable[..., FeatureSegment],
    priorities: Callable[[], list[tuple[str, int]]],
) -> None:
    first, _ = make_override(feature, "a", 0), make_override(feature, "b", 1)
    admin.post(PRIORITIES, [{"id": first.pk, "priority": 5}], "json")
    assert priorities() == [("b", 0), ("a", 5)]


def test_priorities__invalid__rejected(
    admin: APIClient,
    feature: Feature,
    make_feature: Callable[..., Feature],
    make_override: Callable[..., FeatureSegment],
    priorities: Callable[[], list[tuple[str, int]]],
) -> None:
    one, other = make_override(feature, "a", 0), make_override(make_feature("other"), "b", 0)
    unknown = {"non_field_errors": ["Some of the provided ids were not found."]}
    for body, error in (
        ([{"id": one.pk, "priority": 1}, {"id": 99_999, "priority": 0}], unknown),
        ([{"id": one.pk, "priority": 1}, {"id": one.pk, "priority": 0}], unknown),
        (
            [{"id": one.pk, "priority": 1}, {"id": other.pk, "priority": 0}],
            {"non_field_errors": ["All feature segments must belong to the same feature & environment."]},
        ),
        (
            {"id": one.pk, "priority": 1},
            {"non_field_errors": ['Expected a list of items but got type "dict".']},
        ),
    ):
        answer = admin.post(PRIORITIES, body, "json")
        assert (answer.status_code, answer.json()) == (400, error)
    for item in ({"id": one.pk}, {"priority": 1}, {"id": one.pk, "priority": -1}, {"id": one.pk, "priority": 2**31}):
        assert admin.post(PRIORITIES, [item], "json").status_code == 400
    assert (admin.post(PRIORITIES, [], "json").status_code, priorities()) == (200, [("a", 0), ("b", 0)])


def test_feature_segments__of_another_tenant__not_found(
    outsider: APIClient, anonymous: APIClient, required: dict[str, Any], feature: Feature, make_override: Any
) -> None:
    feature_segment = make_override(feature, "a", 0)
    query = f"?environment={required['environment']}&feature={feature.pk}"
    one = f"{PATH}{feature_segment.pk}/"
    missing = {"detail": "No FeatureSegment matches the given query."}
    assert outsider.get(f"{PATH}{query}").status_code == 404
    for answer in (outsider.get(one), outsider.put(one, required, "json"), outsider.delete(one)):
        assert (answer.status_code, answer.json()) == (404, missing)
    assert outsider.get(f"{PATH}get-by-uuid/{feature_segment.uuid}/").status_code == 404
    assert outsider.post(PATH, required, "json").status_code == 403
    assert outsider.post(PRIORITIES, [{"id": feature_segment.pk, "priority": 1}], "json").status_code == 400
    assert anonymous.get(f"{PATH}{query}").status_code == 401
    assert anonymous.post(PRIORITIES, [], "json").status_code == 401


def test_feature_segments__member__needs_permissions(
    member: APIClient,
    permit: Callable[..., None],
    required: dict[str, Any],
    feature: Feature,
    environment: Environment,
    make_override: Callable[..., FeatureSegment],
) -> None:
    feature_segment = make_override(feature, "a", 0)
    permit("VIEW_PROJECT")
    permit("VIEW_ENVIRONMENT", "UPDATE_FEATURE_STATE", environment=environment)

    def writes() -> set[int]:
        answers = (
            member.post(PATH, required, "json"),
            member.post(PRIORITIES, [{"id": feature_segment.pk, "priority": 0}], "json"),
            member.put(f"{PATH}{feature_segment.pk}/", required, "json"),
            member.delete(f"{PATH}{feature_segment.pk}/"),
        )
        return {answer.status_code for answer in answers}

    assert member.get(f"{PATH}?environment={environment.pk}&feature={feature.pk}").status_code == 200
    assert member.get(f"{PATH}{feature_segment.pk}/").status_code == 200
    assert writes() == {403}
    permit("MANAGE_SEGMENT_OVERRIDES", environment=environment)
    assert writes() == {200, 201, 204}
