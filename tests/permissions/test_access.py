"""Who sees and may do what, asked about one actor after the other: the SQL is the same, and its answers are not."""

import pytest

from environments.access import (
    administered_environments,
    has_environment_permission,
    is_environment_admin,
    visible_environments,
)
from environments.models import Environment, UserEnvironmentPermission, UserPermissionGroupEnvironmentPermission
from organisations.models import Organisation, UserOrganisation
from projects.access import administered_projects, has_project_permission, is_project_admin, visible_projects
from projects.models import Project, UserPermissionGroupProjectPermission, UserProjectPermission
from tests.conftest import make_organisation
from users.models import FFAdminUser, UserPermissionGroup

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def stranger(db: None) -> FFAdminUser:
    return FFAdminUser.objects.create_user("s@example.com", "pa55-word-1", first_name="Sam", last_name="S")


@pytest.fixture
def theirs(stranger: FFAdminUser) -> Environment:
    """An environment of an organisation that the stranger is an admin of."""
    project = Project.objects.create(name="Theirs", organisation=make_organisation("Strangers", stranger))
    return Environment.objects.create(name="Theirs", project=project)


@pytest.fixture
def writer(member_user: FFAdminUser, organisation: Organisation, environment: Environment) -> FFAdminUser:
    """A member who sees the environment by a group, and may change its states by themselves."""
    group = UserPermissionGroup.objects.create(name="Viewers", organisation=organisation)
    group.users.add(member_user)
    for kind, place, key in (
        (UserPermissionGroupProjectPermission, {"project": environment.project}, "VIEW_PROJECT"),
        (UserPermissionGroupEnvironmentPermission, {"environment": environment}, "VIEW_ENVIRONMENT"),
    ):
        kind.objects.create(group=group, **place).permissions.set([key])
    own = UserEnvironmentPermission.objects.create(user=member_user, environment=environment)
    own.permissions.set(["UPDATE_FEATURE_STATE"])
    return member_user


def test_access__one_actor_after_the_other__each_has_their_own(
    user: FFAdminUser,
    writer: FFAdminUser,
    stranger: FFAdminUser,
    environment: Environment,
    production: Environment,
    theirs: Environment,
) -> None:
    for _ in range(2):
        for actor, seen, administered, writable in (
            (user, [environment, production], [environment, production], [environment, production]),
            (writer, [environment], [], [environment]),
            (stranger, [theirs], [theirs], [theirs]),
        ):
            everywhere = [environment, production, theirs]
            assert set(visible_environments(actor)) == set(seen)
            assert set(administered_environments(actor)) == set(administered)
            assert set(visible_projects(actor)) == {each.project for each in seen}
            assert set(administered_projects(actor)) == {each.project for each in administered}
            may = [each for each in everywhere if has_environment_permission(actor, each, "UPDATE_FEATURE_STATE")]
            assert may == writable
            assert [each for each in everywhere if is_environment_admin(actor, each)] == administered


def test_access__rights_left_over_from_a_membership__worth_nothing(
    member_user: FFAdminUser, project: Project, environment: Environment
) -> None:
    UserProjectPermission.objects.create(user=member_user, project=project, admin=True)
    assert has_project_permission(member_user, project, "CREATE_FEATURE")
    UserOrganisation.objects.filter(user=member_user).delete()
    assert not has_project_permission(member_user, project, "CREATE_FEATURE")
    assert not is_project_admin(member_user, project)
    assert not visible_environments(member_user).exists()
