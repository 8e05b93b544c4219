"""The access functions for several actors in turn: the compiled SQL is shared, the results are not."""

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
def other_environment(stranger: FFAdminUser) -> Environment:
    """An environment of an organisation that the stranger is an admin of."""
    project = Project.objects.create(name="Other", organisation=make_organisation("Strangers", stranger))
    return Environment.objects.create(name="Other", project=project)


@pytest.fixture
def writer(member_user: FFAdminUser, organisation: Organisation, environment: Environment) -> FFAdminUser:
    """A member who has VIEW_ENVIRONMENT by a group, and UPDATE_FEATURE_STATE directly."""
    group = UserPermissionGroup.objects.create(name="Viewers", organisation=organisation)
    group.users.add(member_user)
    for model, scope, key in (
        (UserPermissionGroupProjectPermission, {"project": environment.project}, "VIEW_PROJECT"),
        (UserPermissionGroupEnvironmentPermission, {"environment": environment}, "VIEW_ENVIRONMENT"),
    ):
        model.objects.create(group=group, **scope).permissions.set([key])
    own = UserEnvironmentPermission.objects.create(user=member_user, environment=environment)
    own.permissions.set(["UPDATE_FEATURE_STATE"])
    return member_user


def test_access__several_actors_in_turn__each_has_only_their_own(
    user: FFAdminUser,
    writer: FFAdminUser,
    stranger: FFAdminUser,
    environment: Environment,
    production: Environment,
    other_environment: Environment,
) -> None:
    environments = [environment, production, other_environment]
    for _ in range(2):
        for actor, visible, administered, writable in (
            (user, [environment, production], [environment, production], [environment, production]),
            (writer, [environment], [], [environment]),
            (stranger, [other_environment], [other_environment], [other_environment]),
        ):
            assert set(visible_environments(actor)) == set(visible)
            assert set(administered_environments(actor)) == set(administered)
            assert set(visible_projects(actor)) == {each.project for each in visible}
            assert set(administered_projects(actor)) == {each.project for each in administered}
            assert [
                each for each in environments if has_environment_permission(actor, each, "UPDATE_FEATURE_STATE")
            ] == writable
            assert [each for each in environments if is_environment_admin(actor, each)] == administered


def test_access__permissions_without_a_membership__no_effect(
    member_user: FFAdminUser, project: Project, environment: Environment
) -> None:
    UserProjectPermission.objects.create(user=member_user, project=project, admin=True)
    assert has_project_permission(member_user, project, "CREATE_FEATURE")
    UserOrganisation.objects.filter(user=member_user).delete()
    assert not has_project_permission(member_user, project, "CREATE_FEATURE")
    assert not is_project_admin(member_user, project)
    assert not visible_environments(member_user).exists()
