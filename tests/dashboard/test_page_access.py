"""Access to every page of the dashboard: sign-in, visibility, permissions and CSRF protection."""

from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client

from dashboard import api
from dashboard.window_streams import StreamPage
from environments.models import UserEnvironmentPermission
from projects.models import UserProjectPermission
from tests.dashboard.all_pages import PAGES, address, arguments_of, form_of
from tests.dashboard.conftest import signed_in_browser
from tests.hostile.refusals import rows
from tests.operations.world import WorldInProcess
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db

PRIVATE = [route for route in PAGES if not route.callback.view_class.public]

# Pages about a tenant's objects. The others are about the user's own account.
OF_TENANTS = [route for route in PRIVATE if {"project_pk", "organisation_pk"} & set(route.arguments)]

# Any user who sees the environment may evaluate its flags and check a key. Nothing is stored.
FOR_VIEWERS = {"why", "inspector", "segment-check"}


def test_pages__session_missing_or_expired__sign_in(client: Client, user: FFAdminUser, world: WorldInProcess) -> None:
    arguments = arguments_of(world)
    expired = signed_in_browser(user)
    Session.objects.all().delete()
    failures = []
    for route in PRIVATE:
        for caller in (client, expired):
            for method in sorted(route.methods):
                response = caller.generic(method, address(route, arguments))
                if route.callback.view_class is StreamPage:
                    is_denied = response.status_code == 403
                else:
                    is_denied = response.status_code == 302 and response["Location"].startswith("/sign-in/?next=")
                if not is_denied:
                    failures.append((method, route.path, response.status_code))
    assert failures == []


def test_pages__project_or_organisation_not_visible__404(stranger: Client, world: WorldInProcess) -> None:
    arguments = arguments_of(world)
    # A member without permissions may see the organisation, but none of its projects.
    member = signed_in_browser(world.member)
    assert len(OF_TENANTS) > 100
    failures = []
    for route in OF_TENANTS:
        for caller in (stranger, member) if "project_pk" in route.arguments else (stranger,):
            for method in sorted(route.methods):
                response = caller.generic(method, address(route, arguments))
                if response.status_code != 404:
                    failures.append((method, route.path, response.status_code))
    assert failures == []


@pytest.mark.slow
def test_pages__viewer__every_change_is_denied(world: WorldInProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member with VIEW_PROJECT and VIEW_ENVIRONMENT alone. Each page calls the API, or denies the change itself."""
    arguments = arguments_of(world)
    viewer = FFAdminUser.objects.create_user("viewer@example.com", "pa55-word-1", first_name="V", last_name="V")
    world.organisation.userorganisation_set.create(user=viewer, role="USER")
    in_project = UserProjectPermission.objects.create(user=viewer, project=world.project)
    in_project.permissions.add("VIEW_PROJECT")
    for environment in (world.a, world.b):
        in_environment = UserEnvironmentPermission.objects.create(user=viewer, environment=environment)
        in_environment.permissions.add("VIEW_ENVIRONMENT")
    browser = signed_in_browser(viewer)
    statuses: list[int] = []
    call = api.call

    def record(request: Any, method: str, *args: Any, **options: Any) -> api.APIResponse:
        response = call(request, method, *args, **options)
        if method != "GET":
            statuses.append(response.status)
        return response

    monkeypatch.setattr(api, "call", record)
    failures = []
    for route in OF_TENANTS:
        if "POST" not in route.methods or route.name in FOR_VIEWERS:
            continue
        statuses.clear()
        before = stored_rows()
        status = browser.post(address(route, arguments), form_of(route, world)).status_code
        denied = set(statuses) <= {403, 404} if statuses else status in (403, 404)
        if not denied or stored_rows() != before:
            failures.append((route.path, status, list(statuses)))
    assert failures == []


def stored_rows() -> dict[str, list[str]]:
    return {table: found for table, found in rows().items() if table != "django_session"}


def test_pages__post_without_csrf_token__403(user: FFAdminUser, world: WorldInProcess) -> None:
    arguments = arguments_of(world)
    forger = Client(enforce_csrf_checks=True)
    forger.force_login(user)
    before = stored_rows()
    failures = []
    for route in PAGES:
        if "POST" in route.methods:
            status = forger.post(address(route, arguments), form_of(route, world)).status_code
            if status != 403:
                failures.append((route.path, status))
    assert failures == []
    assert stored_rows() == before
