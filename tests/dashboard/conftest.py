"""Browsers without JavaScript, signed in by a session. Forged requests are refused, as they are outside of tests."""

import pytest
from django.test import Client

from environments.models import Environment
from organisations.models import Organisation
from projects.models import Project
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
def place(project: Project, environment: Environment) -> str:
    """The beginning of the paths of the environment's pages."""
    return f"/projects/{project.pk}/environments/{environment.api_key}/"
