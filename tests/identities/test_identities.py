"""``environments/{api_key}/identities/``."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.models import Environment, UserEnvironmentPermission
from features.models import Feature, FeatureState
from permissions.models import PermissionModel
from projects.models import Project, UserProjectPermission
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db

Versions = Callable[[], tuple[bool, int]]


def allow(user: FFAdminUser, environment: Environment, *keys: str) -> None:
    """Give the user these permissions in the environment, and those to view it."""
    project = UserProjectPermission.objects.create(user=user, project=environment.project)
    project.permissions.set(["VIEW_PROJECT"])
    own = UserEnvironmentPermission.objects.create(user=user, environment=environment)
    own.permissions.set(PermissionModel.objects.filter(key__in=["VIEW_ENVIRONMENT", *keys]))


def found(admin: APIClient, path: str, q: str) -> list[str]:
    response = admin.get(path, {"q": q})
    assert response.status_code == 200
    return [each["identifier"] for each in response.json()["results"]]


def test_create__new_identifier__201(admin: APIClient, path: str, environment: Environment) -> None:
    response = admin.post(path, {"identifier": "u2", "environment": 99}, format="json")
    assert response.status_code == 201
    assert list(response.json().items()) == [
        ("id", Identity.objects.get().pk),
        ("identifier", "u2"),
        ("environment", environment.pk),
    ]


@pytest.mark.parametrize("method", ["put", "patch", "post"])
def test_identifier__taken__400_as_text(admin: APIClient, path: str, identity: Identity, method: str) -> None:
    other = Identity.objects.create(environment=identity.environment, identifier="u2")
    target = path if method == "post" else f"{path}{other.pk}/"
    response = getattr(admin, method)(target, {"identifier": "u1"}, format="json")
    assert (response.status_code, response.json()) == (
        400,
        {"identifier": "Identity with identifier 'u1' already exists in this environment"},
    )
    assert Identity.objects.count() == 2


def test_identifier__taken_in_another_environment__201(
    admin: APIClient, path: str, production: Environment, identity: Identity
) -> None:
    response = admin.post(f"/api/v1/environments/{production.api_key}/identities/", {"identifier": "u1"}, format="json")
    assert response.status_code == 201


@pytest.mark.parametrize("method", ["put", "patch"])
def test_update__own_identifier__200(admin: APIClient, path: str, identity: Identity, method: str) -> None:
    response = getattr(admin, method)(f"{path}{identity.pk}/", {"identifier": "u1"}, format="json")
    assert (response.status_code, response.json()["identifier"]) == (200, "u1")


@pytest.mark.parametrize(
    "body", [{}, {"identifier": None}, {"identifier": ""}, {"identifier": "x" * 2001}, {"identifier": ["u"]},
             {"identifier": "a\0"}, {"identifier": "\U0001f600" * 700}, [], 5]
)  # fmt: skip
def test_create__bad_body__400(admin: APIClient, path: str, body: Any) -> None:
    assert admin.post(path, body, format="json").status_code == 400
    assert not Identity.objects.exists()


def test_list__q__substring_in_any_case_or_quoted_exact_match(
    admin: APIClient, path: str, environment: Environment, production: Environment
) -> None:
    for name in ("user", "User-2", "a_b", "axb", 'say "hi"'):
        Identity.objects.create(environment=environment, identifier=name)
    Identity.objects.create(environment=production, identifier="user")
    assert found(admin, path, "") == ["user", "User-2", "a_b", "axb", 'say "hi"']
    assert found(admin, path, "USER") == ["user", "User-2"]
    assert found(admin, path, '"user"') == ["user"]
    assert found(admin, path, '"use"') == []
    assert found(admin, path, '"') == []
    assert found(admin, path, "a_b") == ["a_b"]
    assert found(admin, path, "%") == []
    assert admin.get(path, {"q": "a\0"}).status_code == 400


def test_list__page_size__used(admin: APIClient, path: str, environment: Environment) -> None:
    Identity.objects.bulk_create(Identity(environment=environment, identifier=str(n)) for n in range(12))
    assert len(admin.get(path).json()["results"]) == 12
    page = admin.get(path, {"page_size": 5}).json()
    assert list(page) == ["count", "next", "previous", "results"]
    assert (page["count"], len(page["results"])) == (12, 5)
    response = admin.get(path, {"page": 2})
    assert (response.status_code, response.json()) == (404, {"detail": "Invalid page."})


def test_retrieve_and_delete__an_identity__200_and_204(admin: APIClient, path: str, identity: Identity) -> None:
    assert admin.get(f"{path}{identity.pk}/").json()["identifier"] == "u1"
    response = admin.delete(f"{path}{identity.pk}/")
    assert (response.status_code, response.content) == (204, b"")
    response = admin.get(f"{path}{identity.pk}/")
    assert (response.status_code, response.json()) == (404, {"detail": "No Identity matches the given query."})


@pytest.mark.django_db(transaction=True)
def test_writes__identity_without_overrides__version_unchanged(
    admin: APIClient, path: str, identity: Identity, versions: Versions
) -> None:
    admin.post(path, {"identifier": "u2"}, format="json")
    admin.patch(f"{path}{identity.pk}/", {"identifier": "u3"}, format="json")
    admin.delete(f"{path}{identity.pk}/")
    assert versions() == (False, 0)


@pytest.mark.django_db(transaction=True)
def test_writes__identity_with_overrides__new_revision_without_event(
    admin: APIClient, path: str, identity: Identity, feature: Feature, versions: Versions
) -> None:
    FeatureState.objects.create(environment=identity.environment, feature=feature, identity=identity)
    versions()
    admin.patch(f"{path}{identity.pk}/", {"identifier": "u1"}, format="json")
    assert versions() == (False, 0)
    admin.patch(f"{path}{identity.pk}/", {"identifier": "u3"}, format="json")
    assert versions() == (False, 1)
    assert admin.delete(f"{path}{identity.pk}/").status_code == 204
    assert versions() == (False, 1)


def test_delete__many_overrides__same_number_of_queries(
    admin: APIClient,
    path: str,
    environment: Environment,
    make_feature: Callable[..., Feature],
    queries: Callable[[Callable[[], object]], int],
) -> None:
    features = [make_feature(f"f{number}") for number in range(30)]
    counts = set()
    for count in (1, 30):
        identity = Identity.objects.create(environment=environment, identifier="many")
        for feature in features[:count]:
            FeatureState.objects.create(environment=environment, feature=feature, identity=identity)
        counts.add(queries(lambda pk=identity.pk: admin.delete(f"{path}{pk}/")))
    assert len(counts) == 1
    assert not Identity.objects.exists()


def test_list__more_identities__same_number_of_queries(
    admin: APIClient, path: str, environment: Environment, queries: Callable[[Callable[[], object]], int]
) -> None:
    Identity.objects.create(environment=environment, identifier="first")
    few = queries(lambda: admin.get(path))
    Identity.objects.bulk_create(Identity(environment=environment, identifier=str(n)) for n in range(300))
    assert queries(lambda: admin.get(path)) == few


def test_permissions__by_key__as_in_the_table(
    member: APIClient, member_user: FFAdminUser, path: str, identity: Identity
) -> None:
    one = f"{path}{identity.pk}/"
    assert member.get(path).status_code == 404
    allow(member_user, identity.environment)
    assert member.get(path).status_code == member.get(one).status_code == 403
    own = member_user.userenvironmentpermission_set.get()
    own.permissions.add("VIEW_IDENTITIES")
    assert member.get(path).status_code == member.get(one).status_code == 200
    for method, target in (("post", path), ("put", one), ("patch", one), ("delete", one)):
        assert getattr(member, method)(target, {"identifier": "x"}, format="json").status_code == 403
    own.permissions.set(["VIEW_ENVIRONMENT", "MANAGE_IDENTITIES"])
    assert member.post(path, {"identifier": "x"}, format="json").status_code == 201
    assert member.delete(one).status_code == 204


def test_all_endpoints__other_tenant__404(
    outsider: APIClient, anonymous: APIClient, path: str, identity: Identity, project: Project
) -> None:
    response = outsider.get(path)
    assert (response.status_code, response.json()) == (404, {"detail": "No Environment matches the given query."})
    for method in ("get", "put", "patch", "delete"):
        assert getattr(outsider, method)(f"{path}{identity.pk}/", {}, format="json").status_code == 404
        assert getattr(anonymous, method)(f"{path}{identity.pk}/").status_code == 401


def test_identity__of_another_environment__404(admin: APIClient, production: Environment, identity: Identity) -> None:
    assert admin.get(f"/api/v1/environments/{production.api_key}/identities/{identity.pk}/").status_code == 404


@pytest.mark.parametrize("pk", ["0", "999999999999999999", "9" * 30, "x", "-1", "%00"])
def test_identity__unknown_id__404(admin: APIClient, path: str, pk: str) -> None:
    assert admin.get(f"{path}{pk}/").status_code == 404
    assert admin.get(f"{path}{pk}/traits/").status_code == 404
