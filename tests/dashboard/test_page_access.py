"""Access to every page of the dashboard: sign-in, visibility and CSRF protection."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from environments.models import Environment
from projects.models import Project
from tests.hostile import routes
from tests.hostile.routes import Route
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db

PAGES = [route for route in routes.every() if routes.is_of_dashboard(route) and hasattr(route.callback, "view_class")]

METHODS = ("GET", "POST")


def page_paths(project: Project, environment: Environment) -> Iterator[tuple[Route, str]]:
    """The pages below a project or an organisation, each with a path."""
    arguments: dict[str, Any] = {
        "project_pk": project.pk,
        "environment_api_key": environment.api_key,
        "organisation_pk": project.organisation_id,
    }
    for route in PAGES:
        if arguments.keys() & set(route.arguments):
            yield route, route.filled(dict.fromkeys(route.arguments, 1) | arguments)


def test_pages__project_not_visible__sign_in_or_404(
    client: Client, stranger: Client, member_browser: Client, project: Project, environment: Environment
) -> None:
    failures = []
    pages = list(page_paths(project, environment))
    assert len(pages) > 40
    for route, path in pages:
        # A member without permissions may see the organisation, but none of its projects.
        callers = {"anonymous": client, "stranger": stranger}
        if "project_pk" in route.arguments:
            callers["member"] = member_browser
        for name, caller in callers.items():
            for method in METHODS:
                response = caller.generic(method, path)
                signs_in = response.status_code == 302 and response["Location"].startswith("/sign-in/?next=")
                if not (signs_in if name == "anonymous" else response.status_code in (404, 405)):
                    failures.append((name, method, path, response.status_code))
    assert failures == []


def test_pages__post_without_csrf_token__403(user: FFAdminUser, project: Project, environment: Environment) -> None:
    forger = Client(enforce_csrf_checks=True)
    forger.force_login(user)
    failures = []
    for route in PAGES:
        if not hasattr(route.callback.view_class, "post"):
            continue
        arguments = {"project_pk": project.pk, "environment_api_key": environment.api_key}
        path = route.filled({name: arguments.get(name, 1) for name in route.arguments})
        status = forger.post(path).status_code
        if status != 403:
            failures.append((path, status))
    assert failures == []
