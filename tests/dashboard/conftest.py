"""Browsers without JavaScript, signed in by a session. Forged requests are refused, as they are outside of tests."""

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from dashboard import api
from dashboard.pages import Page
from environments.models import Environment, UserEnvironmentPermission
from organisations.models import Organisation
from projects.models import Project, UserProjectPermission
from tests.conftest import make_organisation
from users.models import FFAdminUser

WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")

# A session is the browser's own; a sign-in notes its time.
OWN = ("django_session", '"last_login"')


@pytest.fixture(autouse=True)
def _writes_by_the_api_alone() -> Iterator[None]:
    """In every test here: whatever a page writes, it writes by a call of the Admin API."""
    written: list[str] = []

    def watch(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(WRITES) and not any(each in sql for each in OWN) and _is_by_page_itself():
            written.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        yield
    assert written == []


def _is_by_page_itself() -> bool:
    """Whether what runs now was called by a page, and not by its call of the API."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code is api.call.__code__:
            return False
        if frame.f_code is Page.dispatch.__wrapped__.__code__:
            return True
        frame = frame.f_back
    return False


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
