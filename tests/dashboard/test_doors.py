"""Who gets into which page: every address that there is, by GET and by POST."""

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


def addresses(project: Project, environment: Environment) -> Iterator[tuple[Route, str]]:
    """Each page below a project or an organisation, with theirs."""
    known: dict[str, Any] = {
        "project_pk": project.pk,
        "environment_api_key": environment.api_key,
        "organisation_pk": project.organisation_id,
    }
    for route in PAGES:
        if known.keys() & set(route.arguments):
            yield route, route.filled(dict.fromkeys(route.arguments, 1) | known)


def test_pages_of_a_project__whoever_may_not_see_it__sign_in_or_404(
    client: Client, stranger: Client, member_browser: Client, project: Project, environment: Environment
) -> None:
    wrong = []
    pages = list(addresses(project, environment))
    assert len(pages) > 40
    for route, path in pages:
        # A member of the organisation sees that there is one, and none of its projects.
        callers = {"nobody": client, "stranger": stranger}
        if "project_pk" in route.arguments:
            callers["member"] = member_browser
        for who, caller in callers.items():
            for method in METHODS:
                answer = caller.generic(method, path)
                signs_in = answer.status_code == 302 and answer["Location"].startswith("/sign-in/?next=")
                if not (signs_in if who == "nobody" else answer.status_code in (404, 405)):
                    wrong.append((who, method, path, answer.status_code))
    assert wrong == []


def test_pages__posted_to_from_elsewhere__403_each(
    user: FFAdminUser, project: Project, environment: Environment
) -> None:
    forger = Client(enforce_csrf_checks=True)
    forger.force_login(user)
    wrong = []
    for route in PAGES:
        if not hasattr(route.callback.view_class, "post"):
            continue
        known = {"project_pk": project.pk, "environment_api_key": environment.api_key}
        path = route.filled({name: known.get(name, 1) for name in route.arguments})
        status = forger.post(path).status_code
        if status != 403:
            wrong.append((path, status))
    assert wrong == []
