"""``user-permissions/`` and ``my-permissions/`` of projects and environments, which behave the same."""

from dataclasses import dataclass

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from environments.models import Environment
from organisations.models import Organisation, UserOrganisation
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Scope:
    """A project or an environment, with keys of permissions."""

    path: str
    view: str
    """The permission to view the scope."""
    other: str
    foreign: str
    """A permission of another kind of scope."""

    @property
    def permissions(self) -> str:
        return f"{self.path}user-permissions/"


@pytest.fixture(params=["project", "environment"])
def scope(request: pytest.FixtureRequest, environment: Environment, member_user: FFAdminUser) -> Scope:
    if request.param == "project":
        return Scope(
            f"/api/v1/projects/{environment.project_id}/", "VIEW_PROJECT", "CREATE_ENVIRONMENT", "VIEW_ENVIRONMENT"
        )
    # Required to see any of the project's environments.
    environment.project.userpermission.create(user=member_user).permissions.set(["VIEW_PROJECT"])
    return Scope(f"/api/v1/environments/{environment.api_key}/", "VIEW_ENVIRONMENT", "VIEW_IDENTITIES", "VIEW_PROJECT")


def grant(admin: APIClient, scope: Scope, user: FFAdminUser, *keys: str, is_admin: bool = False) -> dict[str, object]:
    body = {"user": user.pk, "permissions": list(keys), "admin": is_admin}
    response = admin.post(scope.permissions, body, format="json")
    assert response.status_code == 201, response.content
    permission: dict[str, object] = response.json()
    return permission


def test_user_permission__created__user_is_an_id_and_an_object_in_the_list(
    admin: APIClient, member: APIClient, member_user: FFAdminUser, scope: Scope
) -> None:
    assert member.get(scope.path).status_code == 404

    granted = grant(admin, scope, member_user, scope.other, scope.view)

    assert list(granted) == ["id", "permissions", "admin", "user"]
    assert granted["user"] == member_user.pk
    assert granted["permissions"] == sorted([scope.view, scope.other])
    listed = {each["id"]: each for each in admin.get(scope.permissions).json()}
    assert list(listed[granted["id"]]["user"]) == ["id", "email", "first_name", "last_name", "last_login", "uuid"]
    assert member.get(scope.path).status_code == 200
    assert member.get(f"{scope.path}my-permissions/").json() == {
        "permissions": sorted([scope.view, scope.other]),
        "admin": False,
        "tag_based_permissions": [],
    }


@pytest.mark.parametrize("method", ["put", "patch"])
def test_user_permission__changed_without_permissions__permissions_removed(
    admin: APIClient, member: APIClient, member_user: FFAdminUser, scope: Scope, method: str
) -> None:
    granted = grant(admin, scope, member_user, scope.view)

    body = {"user": member_user.pk, "admin": True}
    response = getattr(admin, method)(f"{scope.permissions}{granted['id']}/", body, format="json")

    assert (response.status_code, response.json()) == (200, granted | {"permissions": [], "admin": True})
    assert member.get(f"{scope.path}my-permissions/").json()["admin"] is True


def test_user_permission__deleted__scope_is_not_visible(
    admin: APIClient, member: APIClient, member_user: FFAdminUser, scope: Scope
) -> None:
    granted = grant(admin, scope, member_user, scope.view)

    assert admin.delete(f"{scope.permissions}{granted['id']}/").status_code == 204
    assert member.get(scope.path).status_code == 404


def test_user_permission__caller_is_not_an_admin__403(
    admin: APIClient, member: APIClient, member_user: FFAdminUser, scope: Scope
) -> None:
    granted = grant(admin, scope, member_user, scope.view, scope.other)
    body = {"user": member_user.pk, "permissions": [], "admin": True}

    assert member.post(scope.permissions, body, format="json").status_code == 403
    assert member.put(f"{scope.permissions}{granted['id']}/", body, format="json").status_code == 403
    assert member.delete(f"{scope.permissions}{granted['id']}/").status_code == 403


def test_user_permission__for_a_non_member_or_twice__400(
    admin: APIClient, outsider: APIClient, member_user: FFAdminUser, user: FFAdminUser, scope: Scope
) -> None:
    stranger = FFAdminUser.objects.get(email="stranger@example.com")
    response = admin.post(scope.permissions, {"user": stranger.pk}, format="json")
    assert response.json() == {"user": [f'Invalid pk "{stranger.pk}" - object does not exist.']}

    granted = grant(admin, scope, member_user, scope.view)
    twice = admin.post(scope.permissions, {"user": member_user.pk}, format="json")
    assert (twice.status_code, list(twice.json())) == (400, ["user"])
    own = grant(admin, scope, user)
    moved = admin.patch(f"{scope.permissions}{own['id']}/", {"user": member_user.pk}, format="json")
    assert (moved.status_code, list(moved.json())) == (400, ["user"])
    assert admin.get(f"{scope.permissions}{granted['id']}/").json() == granted


def test_user_permission__key_of_another_scope__400(admin: APIClient, member_user: FFAdminUser, scope: Scope) -> None:
    for key in (scope.foreign, "NO_SUCH"):
        body = {"user": member_user.pk, "permissions": [scope.view, key]}
        response = admin.post(scope.permissions, body, format="json")
        assert (response.status_code, list(response.json())) == (400, ["permissions"])


def test_user_permissions__more_of_them__same_number_of_queries(
    admin: APIClient, organisation: Organisation, member_user: FFAdminUser, scope: Scope
) -> None:
    grant(admin, scope, member_user, scope.view)
    with CaptureQueriesContext(connection) as before:
        admin.get(scope.permissions)
    for number in range(5):
        user = FFAdminUser.objects.create_user(f"{number}@example.com", first_name="N", last_name="N")
        UserOrganisation.objects.create(organisation=organisation, user=user, role="USER")
        grant(admin, scope, user, scope.view, scope.other)

    with CaptureQueriesContext(connection) as after:
        assert len(admin.get(scope.permissions).json()) >= 6
    assert len(after) == len(before)
