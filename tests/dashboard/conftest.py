"""Fixtures: test clients that are signed in by a session."""

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

# Tables and columns that a page may write itself: the session, and the time of the sign-in.
EXEMPT = ("django_session", '"last_login"')


@pytest.fixture(autouse=True)
def _writes_only_through_the_api() -> Iterator[None]:
    """Fails a test in which a page writes to the database other than by a call of the Admin API."""
    written: list[str] = []

    def watch(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(WRITES) and not any(each in sql for each in EXEMPT) and _is_direct_page_query():
            written.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        yield
    assert written == []


def _is_direct_page_query() -> bool:
    """Whether the current query was made by a page outside of its API calls."""
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
    """Signed in as the organisation's admin."""
    return signed_in_browser(user)


@pytest.fixture
def member_browser(member_user: FFAdminUser) -> Client:
    """Signed in as a member without any permission."""
    return signed_in_browser(member_user)


@pytest.fixture
def viewer(member_user: FFAdminUser, project: Project, environment: Environment) -> Client:
    """Signed in as a member with VIEW_PROJECT and VIEW_ENVIRONMENT only."""
    in_project = UserProjectPermission.objects.create(user=member_user, project=project)
    in_project.permissions.add("VIEW_PROJECT")
    in_environment = UserEnvironmentPermission.objects.create(user=member_user, environment=environment)
    in_environment.permissions.add("VIEW_ENVIRONMENT")
    return signed_in_browser(member_user)


@pytest.fixture
def stranger(db: None) -> Client:
    """Signed in as the admin of another organisation."""
    other = FFAdminUser.objects.create_user("stranger@example.com", "pa55-word-1", first_name="S", last_name="T")
    make_organisation("Strangers", other)
    return signed_in_browser(other)


@pytest.fixture
def base_path(project: Project, environment: Environment) -> str:
    """The common prefix of the paths of the environment's pages."""
    return f"/projects/{project.pk}/environments/{environment.api_key}/"
