"""Browsers without JavaScript, signed in by a session. Forged requests are refused, as they are outside of tests."""

import pytest
from django.test import Client

from environments.models import Environment, UserEnvironmentPermission
from organisations.models import Organisation
from projects.models import Project, UserProjectPermission
from tests.conftest import make_organisation
from users.models import FFAdminUser


def signed_in_browser(user: FFAdminUser) -> Client:
    browser = Client()
    browser.force_login(user)
    return browser


@pytest.fixture
def browser(user: FFAdminUser, organisation: Organisation) -> Client:
    """The organisation's admin."""
    return signed_in_browser(user)


@pytest.fixture
def member_browser(member_user: FFAdminUser) -> Client:
    """A member without any permission."""
    return signed_in_browser(member_user)


@pytest.fixture
def viewer(member_user: FFAdminUser, project: Project, environment: Environment) -> Client:
    """A member who may see the project and its environment, and change nothing."""
    seen = UserProjectPermission.objects.create(user=member_user, project=project)
    seen.permissions.add("VIEW_PROJECT")
    there = UserEnvironmentPermission.objects.create(user=member_user, environment=environment)
    there.permissions.add("VIEW_ENVIRONMENT")
    return signed_in_browser(member_user)


@pytest.fixture
def stranger(db: None) -> Client:
    """The admin of another organisation."""
    other = FFAdminUser.objects.create_user("stranger@example.com", "pa55-word-1", first_name="S", last_name="T")
    make_organisation("Strangers", other)
    return signed_in_browser(other)


@pytest.fixture
def place(project: Project, environment: Environment) -> str:
    """The beginning of the paths of the environment's pages."""
    return f"/projects/{project.pk}/environments/{environment.api_key}/"
