"""``features/feature-segments/``: where segments' overrides stand."""

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

LISTED = ["id", "uuid", "segment", "priority", "environment", "segment_name", "is_feature_specific"]
WRITTEN = ["id", "uuid", "feature", "segment", "environment", "priority"]


@pytest.fixture
def names(feature: Feature, environment: Environment, segment: Segment) -> dict[str, Any]:
    """The body of a creation."""
    return {"feature": feature.pk, "segment": segment.pk, "environment": environment.pk}


@pytest.fixture
def order() -> Callable[[], list[tuple[str, int]]]:
    """The segments' names with their priorities, the strongest first."""
    return lambda: list(FeatureSegment.objects.values_list("segment__name", "priority"))


def test_list__of_a_feature_in_an_environment__in_their_order(
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
    assert list(answer["results"][0]) == LISTED
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
def test_list__without_its_parameters__refused_by_name(
    admin: APIClient, environment: Environment, query: str, fields: list[str]
) -> None:
    answer = admin.get(f"{PATH}{query.format(environment=environment.pk)}")
    assert (answer.status_code, list(answer.json())) == (400, fields)


def test_create__whatever_its_priority__goes_last(
    admin: APIClient, names: dict[str, Any], make_segment: Callable[[str], Segment]
) -> None:
    answer = admin.post(PATH, {**names, "priority": 7}, "json")
    assert answer.status_code == 201, answer.json()
    assert list(answer.json()) == WRITTEN
    assert answer.json()["priority"] == 0
    other = admin.post(PATH, {**names, "segment": make_segment("other").pk, "priority": 0}, "json")
    assert other.json()["priority"] == 1
    again = admin.post(PATH, names, "json")
    assert (again.status_code, again.json()["priority"]) == (201, 2)


def test_create__of_another_project__refused_by_name(
    admin: APIClient, names: dict[str, Any], organisation: Organisation
) -> None:
    other = Project.objects.create(name="other", organisation=organisation)
    feature = Feature.objects.create(name="f", project=other)
    segment = Segment.objects.create(name="s", project=other)
    for body in ({"feature": feature.pk}, {"segment": segment.pk}, {"segment": None}, {"feature": "x"}):
        answer = admin.post(PATH, {**names, **body}, "json")
        assert (answer.status_code, list(answer.json())) == (400, list(body))


def test_create__segment_of_one_feature__only_for_that_one(
    admin: APIClient, names: dict[str, Any], make_feature: Callable[..., Feature], project: Project
) -> None:
    other = make_feature("other")
    segment = Segment.objects.create(name="specific", project=project, feature=other)
    answer = admin.post(PATH, {**names, "segment": segment.pk}, "json")
    assert (answer.status_code, list(answer.json())) == (400, ["segment"])
    answer = admin.post(PATH, {**names, "segment": segment.pk, "feature": other.pk}, "json")
    assert answer.status_code == 201
    query = f"?environment={names['environment']}&feature={other.pk}"
    assert admin.get(f"{PATH}{query}").json()["results"][0]["is_feature_specific"] is True


@pytest.mark.parametrize("body", [{}, {"environment": None}, {"environment": "x"}, {"environment": 99_999}, []])
def test_create__without_an_environment__forbidden(admin: APIClient, body: Any) -> None:
    assert admin.post(PATH, body, "json").status_code == 403


def test_one__got_put_and_by_uuid__in_its_two_shapes(
    admin: APIClient, names: dict[str, Any], make_segment: Callable[[str], Segment], production: Environment
) -> None:
    created = admin.post(PATH, names, "json").json()
    one = f"{PATH}{created['id']}/"
    assert list(admin.get(one).json()) == LISTED
    assert list(admin.get(f"{PATH}get-by-uuid/{created['uuid']}/").json()) == LISTED
    other = make_segment("other")
    answer = admin.put(one, {**names, "segment": other.pk, "priority": 9}, "json")
    assert (answer.status_code, list(answer.json())) == (200, WRITTEN)
    assert (answer.json()["segment"], answer.json()["priority"]) == (other.pk, 0)
    answer = admin.put(one, {**names, "environment": production.pk}, "json")
    assert (answer.status_code, list(answer.json())) == (400, ["environment"])
    assert admin.put(one, {"feature": names["feature"]}, "json").status_code == 400


def test_delete__of_one__its_state_goes_and_the_gap_closes(
    admin: APIClient,
    feature: Feature,
    make_override: Callable[..., FeatureSegment],
    order: Callable[[], list[tuple[str, int]]],
) -> None:
    first, *_ = [make_override(feature, name, place) for place, name in enumerate("abc")]
    assert admin.delete(f"{PATH}{first.pk}/").status_code == 204
    assert order() == [("b", 0), ("c", 1)]
    assert FeatureState.objects.filter(feature_segment__isnull=False).count() == 2
    assert FeatureStateValue.objects.filter(string_value="a").count() == 0
    assert admin.delete(f"{PATH}{first.pk}/").status_code == 404


@pytest.mark.parametrize(
    "wanted, expected",
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
def test_priorities__wanted__given_and_the_others_around_them(
    admin: APIClient,
    feature: Feature,
    make_override: Callable[..., FeatureSegment],
    order: Callable[[], list[tuple[str, int]]],
    wanted: dict[str, int],
    expected: str,
) -> None:
    places = {name: make_override(feature, name, place) for place, name in enumerate("abcd")}
    body = [{"id": places[name].pk, "priority": priority} for name, priority in wanted.items()]
    answer = admin.post(PRIORITIES, body, "json")
    assert answer.status_code == 200
    assert [list(each) for each in answer.json()] == [LISTED] * len(wanted)
    assert order() == list(zip(expected, range(4), strict=True))
    given = {each["segment_name"]: each["priority"] for each in answer.json()}
    assert given == {name: priority for name, priority in order() if name in wanted}


def test_priorities__beyond_the_last__kept_as_asked(
    admin: APIClient,
    feature: Feature,
    make_override: Callable[..., FeatureSegment],
    order: Callable[[], list[tuple[str, int]]],
) -> None:
    first, _ = make_override(feature, "a", 0), make_override(feature, "b", 1)
    admin.post(PRIORITIES, [{"id": first.pk, "priority": 5}], "json")
    assert order() == [("b", 0), ("a", 5)]


def test_priorities__that_make_no_sense__refused(
    admin: APIClient,
    feature: Feature,
    make_feature: Callable[..., Feature],
    make_override: Callable[..., FeatureSegment],
    order: Callable[[], list[tuple[str, int]]],
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
    assert (admin.post(PRIORITIES, [], "json").status_code, order()) == (200, [("a", 0), ("b", 0)])


def test_feature_segments__of_another_tenant__do_not_exist(
    outsider: APIClient, anonymous: APIClient, names: dict[str, Any], feature: Feature, make_override: Any
) -> None:
    place = make_override(feature, "a", 0)
    query = f"?environment={names['environment']}&feature={feature.pk}"
    one = f"{PATH}{place.pk}/"
    missing = {"detail": "No FeatureSegment matches the given query."}
    assert outsider.get(f"{PATH}{query}").status_code == 404
    for answer in (outsider.get(one), outsider.put(one, names, "json"), outsider.delete(one)):
        assert (answer.status_code, answer.json()) == (404, missing)
    assert outsider.get(f"{PATH}get-by-uuid/{place.uuid}/").status_code == 404
    assert outsider.post(PATH, names, "json").status_code == 403
    assert outsider.post(PRIORITIES, [{"id": place.pk, "priority": 1}], "json").status_code == 400
    assert anonymous.get(f"{PATH}{query}").status_code == 401
    assert anonymous.post(PRIORITIES, [], "json").status_code == 401


def test_feature_segments__by_a_member__as_the_permissions_say(
    member: APIClient,
    permit: Callable[..., None],
    names: dict[str, Any],
    feature: Feature,
    environment: Environment,
    make_override: Callable[..., FeatureSegment],
) -> None:
    place = make_override(feature, "a", 0)
    permit("VIEW_PROJECT")
    permit("VIEW_ENVIRONMENT", "UPDATE_FEATURE_STATE", environment=environment)

    def writes() -> set[int]:
        answers = (
            member.post(PATH, names, "json"),
            member.post(PRIORITIES, [{"id": place.pk, "priority": 0}], "json"),
            member.put(f"{PATH}{place.pk}/", names, "json"),
            member.delete(f"{PATH}{place.pk}/"),
        )
        return {answer.status_code for answer in answers}

    assert member.get(f"{PATH}?environment={environment.pk}&feature={feature.pk}").status_code == 200
    assert member.get(f"{PATH}{place.pk}/").status_code == 200
    assert writes() == {403}
    permit("MANAGE_SEGMENT_OVERRIDES", environment=environment)
    assert writes() == {200, 201, 204}
