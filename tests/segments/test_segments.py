"""``projects/{project}/segments/``: endpoints, permissions and announcements."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.models import Environment, UserEnvironmentPermission
from features.models import Feature, FeatureSegment, FeatureState
from organisations.models import Organisation
from projects.models import Project, UserProjectPermission
from segments.models import Condition, Segment, SegmentRule
from tests.segments.conftest import condition, tree
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db

Announced = Callable[[], list[int]]
Queries = Callable[[Callable[[], object]], int]


def override(segment: Segment, environment: Environment, feature: Feature) -> FeatureState:
    feature_segment = FeatureSegment.objects.create(segment=segment, environment=environment, feature=feature)
    return FeatureState.objects.create(
        feature_segment=feature_segment, environment=environment, feature=feature, enabled=True
    )


def test_retrieve__segment__equal_to_the_response_of_create(admin: APIClient, path: str) -> None:
    created = admin.post(path, {"name": "s", "rules": tree(condition())}, format="json").json()
    assert admin.get(f"{path}{created['id']}/").json() == created
    assert admin.get(path).json() == {"count": 1, "next": None, "previous": None, "results": [created]}
    assert admin.get(f"/api/v1/segments/get-by-uuid/{created['uuid']}/").json() == created


def test_create__name_exists__201(admin: APIClient, path: str, segment: Segment) -> None:
    assert admin.post(path, {"name": segment.name, "rules": tree()}, format="json").status_code == 201


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"rules": tree()}, {"name": ["This field is required."]}),
        ({"name": "s"}, {"rules": ["This field is required."]}),
        ({"name": "", "rules": tree()}, {"name": ["This field may not be blank."]}),
        ({"name": "x" * 2001, "rules": tree()}, {"name": ["Ensure this field has no more than 2000 characters."]}),
        (
            {"name": "s", "rules": tree(), "feature": 999},
            {"feature": ['Invalid pk "999" - object does not exist.']},
        ),
        (
            {"name": "s", "rules": tree(), "feature": 10**30},
            {"feature": [f'Invalid pk "{10**30}" - object does not exist.']},
        ),
    ],
)
def test_create__invalid_field__400(admin: APIClient, path: str, body: Any, error: Any) -> None:
    answer = admin.post(path, body, format="json")
    assert (answer.status_code, answer.json()) == (400, error)
    assert not Segment.objects.exists()


def test_create__feature_of_another_project__400(admin: APIClient, path: str, organisation: Organisation) -> None:
    other = Feature.objects.create(name="f", project=Project.objects.create(name="Other", organisation=organisation))
    answer = admin.post(path, {"name": "s", "rules": tree(), "feature": other.pk}, format="json")
    assert (answer.status_code, list(answer.json())) == (400, ["feature"])


def test_create__larger_tree__as_many_queries(admin: APIClient, path: str, queries: Queries) -> None:
    def create(count: int) -> int:
        rules = tree(*[condition()] * count) * 3 + [{"type": "ALL"}] * count
        return queries(lambda: admin.post(path, {"name": "s", "rules": rules}, format="json"))

    assert create(1) == create(33)
    assert Condition.objects.count() == 3 + 99


def test_update__larger_tree__as_many_queries(admin: APIClient, path: str, queries: Queries) -> None:
    def put(count: int) -> int:
        created = admin.post(path, {"name": "s", "rules": tree(*[condition()] * count)}, format="json").json()
        body = {"name": "s", "rules": tree(*[condition(value="2")] * count) * 1}
        return queries(lambda: admin.put(f"{path}{created['id']}/", body, format="json"))

    assert put(1) == put(100)


def test_list_and_delete__larger_trees__as_many_queries(admin: APIClient, path: str, queries: Queries) -> None:
    def delete(count: int) -> tuple[int, int]:
        body = {"name": "s", "rules": tree(*[condition()] * count)}
        pks = [admin.post(path, body, format="json").json()["id"] for _ in range(count)]
        listed = queries(lambda: admin.get(path))
        deletions = [queries(lambda pk=pk: admin.delete(f"{path}{pk}/")) for pk in pks]
        return listed, deletions[0]

    assert delete(1) == delete(20)
    assert not SegmentRule.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_create_clone_and_delete__two_environments__each_announced_once(
    admin: APIClient, path: str, environment: Environment, production: Environment, announced: Announced
) -> None:
    created = admin.post(path, {"name": "s", "rules": tree(condition(), condition())}, format="json").json()
    assert announced() == [1, 1]
    assert admin.post(f"{path}{created['id']}/clone/", {"name": "c"}, format="json").status_code == 201
    assert announced() == [1, 1]
    assert admin.delete(f"{path}{created['id']}/").status_code == 204
    assert announced() == [1, 1]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", ["put", "patch"])
def test_update__change_invisible_to_sdks__not_announced(
    admin: APIClient, path: str, environment: Environment, segment: Segment, announced: Announced, method: str
) -> None:
    announced()
    for change in (
        {},
        {"description": "new"},
        {"rules": tree(condition(description="new"))},
        {"rules": tree(condition()), "feature": None},
    ):
        body = {"name": segment.name, "rules": tree(condition()), **change}
        assert getattr(admin, method)(f"{path}{segment.pk}/", body, format="json").status_code == 200
        assert announced() == [0], change
    assert Condition.objects.get().description is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"rules": tree(condition(value="free"))},
        {"rules": tree(condition(prop="tariff"))},
        {"rules": tree(condition(operator="NOT_EQUAL"))},
        {"rules": tree(condition(), condition())},
        {"rules": tree()},
        {"rules": [*tree(condition()), {"type": "ALL"}]},
        {"rules": [{"type": "ALL", "conditions": [condition()]}]},
        {"rules": [{"type": "NONE", "rules": [{"type": "ANY", "conditions": [condition()]}]}]},
        {"name": "other", "rules": tree(condition(value="free"))},
    ],
)
def test_update__change_visible_to_sdks__announced_once(
    admin: APIClient,
    path: str,
    environment: Environment,
    production: Environment,
    segment: Segment,
    announced: Announced,
    change: dict[str, Any],
) -> None:
    announced()
    body = {"name": segment.name, "rules": tree(condition()), **change}
    answer = admin.put(f"{path}{segment.pk}/", body, format="json")
    assert answer.status_code == 200
    assert announced() == [1, 1]
    assert answer.json() == admin.get(f"{path}{segment.pk}/").json()
    if "rules" in change:
        assert admin.patch(f"{path}{segment.pk}/", change, format="json").status_code == 200
        assert announced() == [0, 0]


@pytest.mark.django_db(transaction=True)
def test_update__rejected__nothing_changes(
    admin: APIClient, path: str, environment: Environment, segment: Segment, announced: Announced
) -> None:
    announced()
    body = {"name": "other", "rules": tree(condition(value="free"), condition("REGEX", value="["))}
    assert admin.put(f"{path}{segment.pk}/", body, format="json").status_code == 400
    assert announced() == [0]
    assert (Segment.objects.get().name, Condition.objects.get().value) == (segment.name, "pro")


def test_update__tree__replaced(admin: APIClient, path: str, segment: Segment) -> None:
    before = admin.get(f"{path}{segment.pk}/").json()
    rules = [{"type": "NONE", "conditions": [condition(value="free")]}]
    after = admin.put(f"{path}{segment.pk}/", {"name": "s", "rules": rules}, format="json").json()
    assert (after["id"], after["uuid"], after["created_at"]) == (before["id"], before["uuid"], before["created_at"])
    assert after["updated_at"] > before["updated_at"]
    assert (SegmentRule.objects.count(), Condition.objects.get().value) == (1, "free")


def test_patch__without_a_tree__tree_unchanged(admin: APIClient, path: str, segment: Segment) -> None:
    before = admin.get(f"{path}{segment.pk}/").json()
    after = admin.patch(f"{path}{segment.pk}/", {"description": "d"}, format="json").json()
    assert (after["description"], after["rules"]) == ("d", before["rules"])


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        ([{"conditions": []}], [{"type": ["This field is required."]}]),
        (
            [{"type": "ALL", "conditions": [{"property": "a"}]}],
            [{"conditions": [{"operator": ["This field is required."]}]}],
        ),
        ([{"type": "ALL", "rules": [{"type": "ALL"}, {}]}], [{"rules": [{}, {"type": ["This field is required."]}]}]),
    ],
)
@pytest.mark.parametrize("method", ["put", "patch"])
def test_update__required_field_of_an_item_missing__400(
    admin: APIClient, path: str, segment: Segment, rules: Any, error: Any, method: str
) -> None:
    answer = getattr(admin, method)(f"{path}{segment.pk}/", {"name": "s", "rules": rules}, format="json")
    assert (answer.status_code, answer.json()) == (400, {"rules": error})


def test_clone__segment__same_tree_with_other_ids(
    admin: APIClient, path: str, segment: Segment, feature: Feature
) -> None:
    Segment.objects.filter(pk=segment.pk).update(description="d", feature=feature)
    answer = admin.post(f"{path}{segment.pk}/clone/", {"name": "copy"}, format="json")
    assert answer.status_code == 201
    copy, original = answer.json(), admin.get(f"{path}{segment.pk}/").json()
    assert list(copy) == list(original)
    assert (copy["name"], copy["description"], copy["feature"]) == ("copy", "d", feature.pk)
    assert copy["version_of"] == copy["id"] != original["id"]
    assert copy["uuid"] != original["uuid"]
    cloned_condition, original_condition = (each["rules"][0]["rules"][0]["conditions"][0] for each in (copy, original))
    assert cloned_condition.pop("id") != original_condition.pop("id")
    assert cloned_condition == original_condition


def test_clone__without_a_name__400(admin: APIClient, path: str, segment: Segment) -> None:
    answer = admin.post(f"{path}{segment.pk}/clone/", {}, format="json")
    assert (answer.status_code, answer.json()) == (400, {"name": ["This field is required."]})


def test_delete__used_in_overrides__overrides_removed(
    admin: APIClient, path: str, segment: Segment, feature: Feature, environment: Environment
) -> None:
    override(segment, environment, feature)
    answer = admin.delete(f"{path}{segment.pk}/")
    assert (answer.status_code, answer.content) == (204, b"")
    assert not FeatureSegment.objects.exists()
    assert not FeatureState.objects.exclude(feature_segment=None).exists()
    assert not SegmentRule.objects.exists()
    assert admin.get(f"{path}{segment.pk}/").json() == {"detail": "No Segment matches the given query."}


@pytest.mark.django_db(transaction=True)
def test_delete__used_in_overrides__announced_once(
    admin: APIClient,
    path: str,
    segment: Segment,
    make_feature: Callable[..., Feature],
    environment: Environment,
    production: Environment,
    announced: Announced,
) -> None:
    for number in range(3):
        feature = make_feature(f"f{number}")
        override(segment, environment, feature)
        override(segment, production, feature)
    announced()
    assert admin.delete(f"{path}{segment.pk}/").status_code == 204
    assert announced() == [1, 1]


def test_list__filters__applied(admin: APIClient, path: str, project: Project, feature: Feature) -> None:
    Segment.objects.create(project=project, name="Beta users")
    Segment.objects.create(project=project, name="of a feature", feature=feature)

    def names(**query: Any) -> list[str]:
        return [each["name"] for each in admin.get(path, query).json()["results"]]

    assert names() == names(q="") == names(include_feature_specific=True) == ["Beta users", "of a feature"]
    assert names(q="BETA") == ["Beta users"]
    assert names(q="%") == []
    assert names(include_feature_specific="false") == ["Beta users"]


@pytest.mark.parametrize("query", ["q=a%00", "identity=x", "include_feature_specific=maybe"])
def test_list__invalid_filter__400_with_field(admin: APIClient, path: str, query: str) -> None:
    answer = admin.get(f"{path}?{query}")
    assert (answer.status_code, list(answer.json())) == (400, [query.partition("=")[0]])


def test_list__page_size__applied(admin: APIClient, path: str, project: Project) -> None:
    Segment.objects.bulk_create(Segment(project=project, name=str(number)) for number in range(12))
    assert len(admin.get(path).json()["results"]) == 12
    page = admin.get(path, {"page_size": 5, "page": 2}).json()
    assert [each["name"] for each in page["results"]] == ["5", "6", "7", "8", "9"]
    assert page["next"].startswith("http://")


def test_associated_features__live_and_draft_overrides__only_live(
    admin: APIClient,
    path: str,
    segment: Segment,
    feature: Feature,
    environment: Environment,
    production: Environment,
) -> None:
    first, second = override(segment, environment, feature), override(segment, production, feature)
    FeatureState.objects.create(
        feature_segment=first.feature_segment, environment=environment, feature=feature, version=None
    )
    expected = [{"id": each.pk, "feature": feature.pk, "environment": each.environment_id} for each in (first, second)]
    target = f"{path}{segment.pk}/associated-features/"
    assert admin.get(target).json() == {"count": 2, "next": None, "previous": None, "results": expected}
    assert admin.get(target, {"environment": production.pk}).json()["results"] == expected[1:]
    assert admin.get(target, {"environment": 10**30}).json()["results"] == []
    assert admin.get(target, {"environment": "x"}).status_code == 400


def test_segments__member__needs_permissions(
    member: APIClient, member_user: FFAdminUser, path: str, segment: Segment, environment: Environment
) -> None:
    one = f"{path}{segment.pk}/"
    assert member.get(path).status_code == 404
    permission = UserProjectPermission.objects.create(user=member_user, project=segment.project)
    permission.permissions.set(["VIEW_PROJECT"])
    assert member.get(path).status_code == member.get(one).status_code == 200
    assert member.get(f"/api/v1/segments/get-by-uuid/{segment.uuid}/").status_code == 200
    body = {"name": "s", "rules": tree()}
    writes = (("post", path), ("put", one), ("patch", one), ("post", f"{one}clone/"), ("delete", one))
    for method, target in writes:
        assert getattr(member, method)(target, body, format="json").status_code == 403
    assert member.get(f"{one}associated-features/").status_code == 403
    permission.permissions.add("MANAGE_SEGMENTS")
    for method, target in writes:
        assert getattr(member, method)(target, body, format="json").status_code in (200, 201, 204)


def test_associated_features__environment_not_visible__excluded(
    member: APIClient,
    member_user: FFAdminUser,
    path: str,
    segment: Segment,
    feature: Feature,
    environment: Environment,
    production: Environment,
) -> None:
    permission = UserProjectPermission.objects.create(user=member_user, project=segment.project)
    permission.permissions.set(["VIEW_PROJECT", "MANAGE_SEGMENTS"])
    environment_permission = UserEnvironmentPermission.objects.create(user=member_user, environment=environment)
    environment_permission.permissions.set(["VIEW_ENVIRONMENT"])
    states = [override(segment, each, feature) for each in (environment, production)]
    answer = member.get(f"{path}{segment.pk}/associated-features/").json()
    assert [each["id"] for each in answer["results"]] == [states[0].pk]


def test_segments__another_tenant__404(outsider: APIClient, anonymous: APIClient, path: str, segment: Segment) -> None:
    one = f"{path}{segment.pk}/"
    by_uuid = f"/api/v1/segments/get-by-uuid/{segment.uuid}/"
    for method, target in (
        ("get", path),
        ("post", path),
        ("get", one),
        ("put", one),
        ("patch", one),
        ("delete", one),
        ("post", f"{one}clone/"),
        ("get", f"{one}associated-features/"),
        ("get", by_uuid),
    ):
        assert getattr(outsider, method)(target).status_code == 404
        assert getattr(anonymous, method)(target).status_code == 401
    assert outsider.get(by_uuid).json() == {"detail": "No Segment matches the given query."}


@pytest.mark.parametrize("pk", ["0", "9" * 18, "9" * 30, "x", "%00"])
def test_segment__unknown_primary_key__404(admin: APIClient, path: str, pk: str) -> None:
    assert admin.get(f"{path}{pk}/").status_code == 404
    assert admin.get(f"/api/v1/projects/{pk}/segments/").status_code == 404
    assert admin.get(f"/api/v1/segments/get-by-uuid/{pk}/").status_code == 404
