"""Groups of users: access to them, their members and their permissions."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from environments.models import Environment
from organisations.models import Organisation, OrganisationRole, UserOrganisation
from organisations.services import add_member
from tests.api_keys.clients import with_master_key
from tests.conftest import make_organisation, signed_in
from users.models import FFAdminUser, UserPermissionGroup

pytestmark = pytest.mark.django_db


@pytest.fixture
def groups(organisation: Organisation) -> str:
    return f"/api/v1/organisations/{organisation.pk}/groups/"


@pytest.fixture
def group(organisation: Organisation) -> UserPermissionGroup:
    return UserPermissionGroup.objects.create(name="Developers", organisation=organisation)


def add_user(name: str, organisation: Organisation) -> FFAdminUser:
    user = FFAdminUser.objects.create_user(f"{name}@example.com", "pa55-word-1", first_name=name, last_name="x")
    UserOrganisation.objects.create(user=user, organisation=organisation, role=OrganisationRole.USER)
    return user


def names(response: object) -> list[str]:
    return [each["name"] for each in response.json()["results"]]  # type: ignore[attr-defined]


def test_group__created_changed_and_deleted__same_responses_as_flagsmith(
    admin: APIClient, member_user: FFAdminUser, groups: str
) -> None:
    body = {"name": "Developers", "users": [member_user.pk], "external_id": "ldap-1", "id": 7}
    response = admin.post(groups, body, format="json")

    assert response.status_code == 201
    group = response.json()
    assert group == {
        "id": group["id"],
        "name": "Developers",
        "users": [],  # Only ``add-users/`` adds users.
        "is_default": False,
        "external_id": "ldap-1",
    }
    path = f"{groups}{group['id']}/"
    added = admin.post(f"{path}add-users/", {"user_ids": [member_user.pk, member_user.pk]}, format="json")
    users = [
        {
            "id": member_user.pk,
            "email": "member@example.com",
            "first_name": "Max",
            "last_name": "Member",
            "last_login": None,
            "group_admin": False,
        }
    ]
    assert (added.status_code, added.json()) == (200, group | {"users": users})
    assert admin.get(path).json() == added.json()
    assert admin.get(groups).json() == {"count": 1, "next": None, "previous": None, "results": [added.json()]}
    renamed = admin.patch(path, {"name": "Testers", "is_default": True}, format="json").json()
    assert renamed == added.json() | {"name": "Testers", "is_default": True}
    removed = admin.post(f"{path}remove-users/", {"user_ids": [member_user.pk, 999_999]}, format="json")
    assert (removed.status_code, removed.json()["users"]) == (200, [])
    assert admin.delete(path).status_code == 204
    assert admin.get(path).status_code == 404


def test_external_id__exists_in_the_organisation__400_names_it(
    admin: APIClient, outsider: APIClient, organisation: Organisation, groups: str, group: UserPermissionGroup
) -> None:
    UserPermissionGroup.objects.filter(pk=group.pk).update(external_id="1")
    other = Organisation.objects.get(name="Strangers")

    response = admin.post(groups, {"name": "Second", "external_id": "1"}, format="json")
    assert (response.status_code, list(response.json())) == (400, ["external_id"])
    assert admin.put(f"{groups}{group.pk}/", {"name": "Same", "external_id": "1"}, format="json").status_code == 200
    other_groups = f"/api/v1/organisations/{other.pk}/groups/"
    assert outsider.post(other_groups, {"name": "Second", "external_id": "1"}, format="json").status_code == 201
    for name in ("a", "b"):
        assert admin.post(groups, {"name": name, "external_id": None}, format="json").status_code == 201


def test_add_users__one_is_not_a_member__400_and_none_added(
    admin: APIClient, outsider: APIClient, member_user: FFAdminUser, groups: str, group: UserPermissionGroup
) -> None:
    stranger = FFAdminUser.objects.get(email="stranger@example.com")

    body = {"user_ids": [member_user.pk, stranger.pk]}
    response = admin.post(f"{groups}{group.pk}/add-users/", body, format="json")

    assert response.status_code == 400
    assert response.json() == {"user_ids": [f"Users {stranger.pk} do not exist in this organisation"]}
    assert not group.users.exists()


def test_lists__member__summaries_of_all_groups_and_details_of_managed_ones(
    admin: APIClient, member: APIClient, member_user: FFAdminUser, organisation: Organisation, groups: str
) -> None:
    joined, managed, other = (
        UserPermissionGroup.objects.create(name=name, organisation=organisation)
        for name in ("joined", "managed", "other")
    )
    joined.memberships.create(ffadminuser=member_user)
    managed.memberships.create(ffadminuser=member_user, group_admin=True)

    summaries = [{"id": each.pk, "name": each.name} for each in (joined, managed, other)]
    assert member.get(f"{groups}summaries/").json() == summaries
    own_groups = member.get(f"{groups}my-groups/").json()
    assert own_groups == {"count": 2, "next": None, "previous": None, "results": summaries[:2]}
    assert names(member.get(groups)) == ["managed"]
    # With MANAGE_USER_GROUPS, both lists have all groups.
    assert names(admin.get(f"{groups}my-groups/")) == names(admin.get(groups)) == ["joined", "managed", "other"]
    assert names(with_master_key(organisation).get(groups)) == ["joined", "managed", "other"]


def test_group__ordinary_member_or_outsider__404(
    member: APIClient, outsider: APIClient, member_user: FFAdminUser, groups: str, group: UserPermissionGroup
) -> None:
    group.memberships.create(ffadminuser=member_user)
    path = f"{groups}{group.pk}/"
    own_path = f"/api/v1/organisations/{Organisation.objects.get(name='Strangers').pk}/groups/{group.pk}/"

    for caller, url in ((member, path), (outsider, path), (outsider, own_path)):
        assert caller.get(url).status_code == 404
        assert caller.put(url, {"name": "Mine"}, format="json").status_code == 404
        assert caller.delete(url).status_code == 404
        assert caller.post(f"{url}add-users/", {"user_ids": [member_user.pk]}, format="json").status_code == 404
    assert member.post(groups, {"name": "Mine"}, format="json").status_code == 403
    assert outsider.get(f"{groups}summaries/").status_code == 404
    assert [each.name for each in UserPermissionGroup.objects.all()] == ["Developers"]


def test_group_admin__added_and_removed__manages_only_that_group(
    admin: APIClient, member: APIClient, member_user: FFAdminUser, organisation: Organisation, groups: str
) -> None:
    group, other = (UserPermissionGroup.objects.create(name=name, organisation=organisation) for name in "ab")
    friend = add_user("friend", organisation)
    path, admins = f"{groups}{group.pk}/", f"{groups}{group.pk}/users/{member_user.pk}/"
    assert admin.post(f"{admins}make-admin").status_code == 404  # Not a member of the group.
    group.memberships.create(ffadminuser=member_user)
    assert member.post(f"{admins}make-admin").status_code == 403

    response = admin.post(f"{admins}make-admin")

    assert (response.status_code, response.content) == (200, b"")
    assert member.get(path).json()["users"][0]["group_admin"] is True
    assert member.post(f"{path}add-users/", {"user_ids": [friend.pk]}, format="json").status_code == 200
    # Group admins may not add or remove themselves.
    for verb in ("add", "remove"):
        response = member.post(f"{path}{verb}-users/", {"user_ids": [member_user.pk]}, format="json")
        assert response.status_code == 403
    assert member.get(f"{groups}{other.pk}/").status_code == 404
    assert member.post(groups, {"name": "c"}, format="json").status_code == 403
    assert admin.post(f"{groups}{other.pk}/users/{member_user.pk}/make-admin").status_code == 404
    assert admin.post(f"{admins}remove-admin").status_code == 200
    assert member.get(path).status_code == 404


def test_manage_user_groups__permission_of_a_group__manages_all_groups_but_not_oneself(
    admin: APIClient, member: APIClient, member_user: FFAdminUser, organisation: Organisation, groups: str
) -> None:
    managers, other = (UserPermissionGroup.objects.create(name=name, organisation=organisation) for name in "ab")
    permissions = f"/api/v1/organisations/{organisation.pk}/user-group-permissions/"

    body = {"group": managers.pk, "permissions": ["MANAGE_USER_GROUPS"]}
    created = admin.post(permissions, body, format="json")
    assert (created.status_code, created.json()) == (201, {"id": created.json()["id"], **body})
    assert member.post(groups, {"name": "c"}, format="json").status_code == 403
    managers.memberships.create(ffadminuser=member_user)

    my_permissions = f"/api/v1/organisations/{organisation.pk}/my-permissions/"
    assert member.get(my_permissions).json()["permissions"] == ["MANAGE_USER_GROUPS"]
    assert member.post(groups, {"name": "c"}, format="json").status_code == 201
    assert member.delete(f"{groups}{other.pk}/").status_code == 204
    response = member.post(f"{groups}{managers.pk}/remove-users/", {"user_ids": [member_user.pk]}, format="json")
    assert response.status_code == 403
    (listed,) = admin.get(permissions, {"group": managers.pk}).json()
    assert listed["group"] == {
        "id": managers.pk,
        "name": "a",
        "users": [member_user.pk],
        "is_default": False,
        "external_id": None,
    }
    assert admin.get(permissions, {"group": 0}).json() == []
    assert admin.delete(f"{permissions}{created.json()['id']}/").status_code == 204
    assert member.get(groups).json()["count"] == 0


def test_organisation_group_permission__twice_or_invalid__400(
    admin: APIClient, outsider: APIClient, organisation: Organisation, group: UserPermissionGroup
) -> None:
    permissions = f"/api/v1/organisations/{organisation.pk}/user-group-permissions/"
    strangers = Organisation.objects.get(name="Strangers")
    foreign = UserPermissionGroup.objects.create(name="Foreign", organisation=strangers)
    body = {"group": group.pk, "permissions": ["CREATE_PROJECT"]}
    assert admin.post(permissions, body, format="json").status_code == 201

    for invalid in (body, {**body, "group": foreign.pk}, {**body, "permissions": ["VIEW_PROJECT"]}):
        assert admin.post(permissions, invalid, format="json").status_code == 400
    assert outsider.get(permissions).status_code == 404
    assert organisation.grouppermission.count() == 1


def test_default_groups__new_member__added_to_those_of_the_organisation(
    organisation: Organisation, group: UserPermissionGroup
) -> None:
    default = UserPermissionGroup.objects.create(name="Everybody", organisation=organisation, is_default=True)
    newcomer = FFAdminUser.objects.create_user("new@example.com", "pa55-word-1", first_name="N", last_name="N")
    make_organisation("Elsewhere", newcomer).permission_groups.create(name="Foreign", is_default=True)

    add_member(organisation, newcomer, OrganisationRole.USER)

    assert list(newcomer.permission_groups.all()) == [default]


def test_member__removed__loses_groups_and_their_permissions(
    admin: APIClient,
    member: APIClient,
    member_user: FFAdminUser,
    organisation: Organisation,
    environment: Environment,
    group: UserPermissionGroup,
) -> None:
    environment.project.grouppermission.create(group=group, admin=True)
    group.memberships.create(ffadminuser=member_user)
    path = f"/api/v1/environments/{environment.api_key}/"
    assert member.get(path).status_code == 200

    removed = admin.post(
        f"/api/v1/organisations/{organisation.pk}/remove-users/", [{"id": member_user.pk}], format="json"
    )

    assert removed.status_code == 200
    assert not group.users.exists()
    assert member.get(path).status_code == 404
    # A group's permissions have no effect for users who are not members of the organisation.
    group.memberships.create(ffadminuser=member_user)
    assert member.get(path).status_code == 404
    assert member.get("/api/v1/projects/").json() == []


def test_groups__more_groups_and_members__same_number_of_queries(
    admin: APIClient, member_user: FFAdminUser, organisation: Organisation, groups: str
) -> None:
    permissions = f"/api/v1/organisations/{organisation.pk}/user-group-permissions/"

    def add_group(name: str) -> None:
        group = UserPermissionGroup.objects.create(name=name, organisation=organisation)
        group.memberships.create(ffadminuser=member_user)
        group.memberships.create(ffadminuser=add_user(name, organisation))
        organisation.grouppermission.create(group=group).permissions.set(["CREATE_PROJECT"])

    def queries() -> list[int]:
        counts = []
        for path in (groups, permissions, f"{groups}summaries/", f"{groups}my-groups/"):
            with CaptureQueriesContext(connection) as captured:
                assert admin.get(path).status_code == 200
            counts.append(len(captured))
        return counts

    add_group("first")
    before = queries()
    for name in ("second", "third", "fourth"):
        add_group(name)
    assert queries() == before
    assert signed_in(member_user).get(groups).json()["count"] == 0
