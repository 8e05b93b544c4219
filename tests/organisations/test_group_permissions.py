"""``user-group-permissions/`` of projects and environments, and the permissions that members have by a group."""

from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from environments.models import Environment
from organisations.models import Organisation
from projects.models import Project
from users.models import FFAdminUser, UserPermissionGroup

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
        return f"{self.path}user-group-permissions/"


@pytest.fixture
def group(organisation: Organisation, member_user: FFAdminUser) -> UserPermissionGroup:
    """A group that the member belongs to."""
    group = UserPermissionGroup.objects.create(name="Developers", organisation=organisation)
    group.memberships.create(ffadminuser=member_user)
    return group


@pytest.fixture(params=["project", "environment"])
def scope(request: pytest.FixtureRequest, environment: Environment, group: UserPermissionGroup) -> Scope:
    if request.param == "project":
        return Scope(
            f"/api/v1/projects/{environment.project_id}/", "VIEW_PROJECT", "CREATE_ENVIRONMENT", "VIEW_ENVIRONMENT"
        )
    environment.project.grouppermission.create(group=group).permissions.set(["VIEW_PROJECT"])
    return Scope(f"/api/v1/environments/{environment.api_key}/", "VIEW_ENVIRONMENT", "VIEW_IDENTITIES", "VIEW_PROJECT")


def grant(admin: APIClient, scope: Scope, group: UserPermissionGroup, *keys: str, is_admin: bool = False) -> Any:
    body = {"group": group.pk, "permissions": list(keys), "admin": is_admin}
    response = admin.post(scope.permissions, body, format="json")
    assert response.status_code == 201, response.content
    return response.json()


def test_group_permission__created_changed_and_deleted__applies_to_members_at_once(
    admin: APIClient, member: APIClient, member_user: FFAdminUser, group: UserPermissionGroup, scope: Scope
) -> None:
    my_permissions = f"{scope.path}my-permissions/"
    assert member.get(scope.path).status_code == 404

    granted = grant(admin, scope, group, scope.other, scope.view)

    keys = sorted([scope.view, scope.other])
    assert granted == {"id": granted["id"], "permissions": keys, "admin": False, "group": group.pk}
    assert member.get(scope.path).status_code == 200
    assert member.get(my_permissions).json() == {"permissions": keys, "admin": False, "tag_based_permissions": []}
    assert member.get(f"{scope.path}user-group-permissions/{granted['id']}/").status_code == 403
    assert member.post(scope.permissions, {"group": group.pk, "admin": True}, format="json").status_code == 403

    path = f"{scope.permissions}{granted['id']}/"
    changed = admin.patch(path, {"admin": True}, format="json")
    assert (changed.status_code, changed.json()) == (200, granted | {"permissions": [], "admin": True})
    assert member.get(my_permissions).json() == {"permissions": [], "admin": True, "tag_based_permissions": []}
    assert member.patch(scope.path, {"name": "Renamed"}, format="json").status_code == 200

    group.memberships.all().delete()
    assert member.get(scope.path).status_code == 404
    group.memberships.create(ffadminuser=member_user)
    assert admin.delete(path).status_code == 204
    assert member.get(scope.path).status_code == 404


@pytest.mark.database
def test_group_permission__member_also_has_own_permissions__both_apply(
    admin: APIClient, member: APIClient, member_user: FFAdminUser, group: UserPermissionGroup, scope: Scope
) -> None:
    grant(admin, scope, group, scope.view)
    body = {"user": member_user.pk, "permissions": [scope.other]}
    assert admin.post(f"{scope.path}user-permissions/", body, format="json").status_code == 201

    assert member.get(f"{scope.path}my-permissions/").json()["permissions"] == sorted([scope.view, scope.other])


def test_group_permission__listed__with_its_group_and_users(
    admin: APIClient, member_user: FFAdminUser, group: UserPermissionGroup, scope: Scope
) -> None:
    group.memberships.update(group_admin=True)
    granted = grant(admin, scope, group, scope.view)

    (listed,) = [each for each in admin.get(scope.permissions).json() if each["id"] == granted["id"]]

    fields = {"id": group.pk, "name": "Developers", "is_default": False, "external_id": None}
    users: list[Any] = [member_user.pk]
    if "environments" in scope.path:
        user = {"id": member_user.pk, "email": "member@example.com", "first_name": "Max", "last_name": "Member"}
        users = [{**user, "last_login": None, "group_admin": True}]
    assert listed == granted | {"group": {**fields, "users": users}}
    assert list(listed["group"]) == ["id", "name", "users", "is_default", "external_id"]


def test_group_permission__invalid_or_twice__400_and_nothing_stored(
    admin: APIClient, outsider: APIClient, group: UserPermissionGroup, scope: Scope
) -> None:
    path = f"{scope.permissions}{grant(admin, scope, group, scope.view)['id']}/"
    strangers = Organisation.objects.get(name="Strangers")
    foreign = UserPermissionGroup.objects.create(name="Foreign", organisation=strangers)
    other = UserPermissionGroup.objects.create(name="Other", organisation=group.organisation)
    before = admin.get(scope.permissions).json()

    for body, field in (
        ({"group": foreign.pk, "permissions": [scope.view]}, "group"),
        ({"group": other.pk, "permissions": [scope.foreign]}, "permissions"),
        ({"group": group.pk, "permissions": []}, "group"),
        ({"permissions": []}, "group"),
    ):
        response = admin.post(scope.permissions, body, format="json")
        assert (response.status_code, list(response.json())) == (400, [field])
    response = admin.put(path, {"group": foreign.pk}, format="json")
    assert (response.status_code, list(response.json())) == (400, ["group"])
    for method in ("get", "put", "delete"):
        assert getattr(outsider, method)(path, {"group": foreign.pk}, format="json").status_code == 404
    assert admin.get(scope.permissions).json() == before


def test_group_permission__of_another_environment__404(
    admin: APIClient, group: UserPermissionGroup, environment: Environment, production: Environment
) -> None:
    row = production.grouppermission.create(group=group)

    assert admin.get(f"/api/v1/environments/{environment.api_key}/user-group-permissions/{row.pk}/").status_code == 404


def test_group_permissions__more_projects_and_environments__same_number_of_queries(
    member: APIClient, member_user: FFAdminUser, group: UserPermissionGroup, project: Project, environment: Environment
) -> None:
    second = UserPermissionGroup.objects.create(name="Testers", organisation=group.organisation)
    second.memberships.create(ffadminuser=member_user)

    def grant_view(project: Project, environment: Environment) -> None:
        for holder in (group, second):
            project.grouppermission.create(group=holder).permissions.set(["VIEW_PROJECT"])
            environment.grouppermission.create(group=holder).permissions.set(["VIEW_ENVIRONMENT"])

    def queries() -> list[int]:
        counts = []
        for path in (
            "/api/v1/projects/",
            f"/api/v1/environments/?project={project.pk}",
            f"/api/v1/environments/{environment.api_key}/my-permissions/",
        ):
            with CaptureQueriesContext(connection) as captured:
                assert member.get(path).status_code == 200
            counts.append(len(captured))
        return counts

    grant_view(project, environment)
    before = queries()
    for number in range(4):
        another = Project.objects.create(name=f"Project {number}", organisation=group.organisation)
        grant_view(another, Environment.objects.create(name="E", project=another))
        second_environment = Environment.objects.create(name=f"E{number}", project=project)
        second_environment.grouppermission.create(group=group, admin=True)
    assert queries() == before
    assert len(member.get("/api/v1/projects/").json()) == 5
    assert member.get(f"/api/v1/environments/?project={project.pk}").json()["count"] == 5


def test_group_owners__added_and_removed__shown_and_filtered_by(
    admin: APIClient, outsider: APIClient, project: Project, group: UserPermissionGroup, environment: Environment
) -> None:
    features = f"/api/v1/projects/{project.pk}/features/"
    foreign = UserPermissionGroup.objects.create(name="x", organisation=Organisation.objects.get(name="Strangers"))
    owners = [{"id": group.pk, "name": "Developers"}]

    created = admin.post(features, {"name": "banner", "group_owners": [group.pk]}, format="json").json()
    assert created["group_owners"] == owners
    assert [each["email"] for each in created["owners"]] == ["admin@example.com"]
    response = admin.post(features, {"name": "b", "group_owners": [foreign.pk]}, format="json")
    assert (response.status_code, list(response.json())) == (400, ["group_owners"])

    plain = admin.post(features, {"name": "plain", "owners": []}, format="json").json()
    path = f"{features}{plain['id']}/"
    missing = admin.post(f"{path}add-group-owners/", {"group_ids": [group.pk, foreign.pk]}, format="json")
    assert (missing.status_code, missing.json()) == (400, ["Some groups not found"])
    added = admin.post(f"{path}add-group-owners/", {"group_ids": [group.pk]}, format="json")
    assert (added.status_code, added.json()["group_owners"]) == (200, owners)
    assert admin.get(path).json()["group_owners"] == owners
    ignored = admin.patch(path, {"group_owners": []}, format="json")
    assert (ignored.status_code, ignored.json()["group_owners"]) == (200, owners)
    listed = admin.get(features, {"group_owners": group.pk}).json()
    assert [each["name"] for each in listed["results"]] == ["banner", "plain"]
    removed = admin.post(f"{path}remove-group-owners/", {"group_ids": [group.pk]}, format="json")
    assert (removed.status_code, removed.json()["group_owners"]) == (200, [])
    assert admin.get(features, {"group_owners": group.pk}).json()["count"] == 1


def test_owners__enforced__a_group_is_sufficient_and_the_last_owner_is_kept(
    admin: APIClient, user: FFAdminUser, project: Project, group: UserPermissionGroup
) -> None:
    Project.objects.filter(pk=project.pk).update(enforce_feature_owners=True)
    features = f"/api/v1/projects/{project.pk}/features/"

    assert admin.post(features, {"name": "a"}, format="json").status_code == 400
    created = admin.post(features, {"name": "b", "group_owners": [group.pk]}, format="json")
    assert created.status_code == 201
    path = f"{features}{created.json()['id']}/"
    assert admin.post(f"{path}remove-owners/", {"user_ids": [user.pk]}, format="json").status_code == 200
    last = admin.post(f"{path}remove-group-owners/", {"group_ids": [group.pk]}, format="json")
    assert (last.status_code, last.json()) == (400, ["Features of this project need an owner."])


def test_owner__may_see_the_project_by_a_group__accepted(
    admin: APIClient, member_user: FFAdminUser, project: Project, group: UserPermissionGroup
) -> None:
    features = f"/api/v1/projects/{project.pk}/features/"
    created = admin.post(features, {"name": "banner"}, format="json").json()
    path, body = f"{features}{created['id']}/add-owners/", {"user_ids": [member_user.pk]}
    assert admin.post(path, body, format="json").status_code == 400

    project.grouppermission.create(group=group).permissions.set(["VIEW_PROJECT"])
    assert admin.post(path, body, format="json").status_code == 200
