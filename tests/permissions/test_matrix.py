"""The permission matrix: every endpoint and method with every kind of caller has the expected result.

The expected result is computed from the rules' data and the caller's permissions (``expectation``), not by the code
under test. All tests share one set of objects: each call is made in a savepoint that is rolled back.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db import transaction
from pytest_django import DjangoDbBlocker
from rest_framework.test import APIClient

from permissions.rule import Rule, SDKKey
from permissions.rules import OTHER_ENDPOINTS, RULES
from tests.hostile import routes
from tests.hostile.routes import Route
from tests.hostile.whole_world import make_world
from tests.permissions import calls
from tests.permissions.callers import Caller, CallerFactory
from tests.permissions.calls import Call
from tests.permissions.expectation import Result, expected_result, named
from tests.support.samples import ALL_CASES

# The fixture ``matrix`` is created outside of any test and shared by all. Without the mark it would use, and flush, the
# database of the development server.
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quiet")]

ROUTES = routes.api()

# Endpoints whose query or body names the object have other statuses than 404 for an object that the caller may not see.
# They have the same status for an object that does not exist.
HIDDEN_STATUSES = {
    "GET api/v1/environments/": {400},
    "GET api/v1/features/featurestates/": {403},
    "POST api/v1/features/featurestates/": {403},
    "POST api/v1/features/feature-segments/": {403},
    "POST api/v1/features/create-feature-export/": {403},
    "POST api/v1/features/feature-segments/update-priorities/": {400, 403},
}


class Matrix:
    """An organisation with all objects that calls need, and all callers."""

    def __init__(self) -> None:
        self.world = make_world("owner", ROUTES)
        self.callers = CallerFactory(self.world.organisation, self.world.project, self.world.a).all()
        self.two_callers = [caller for caller in self.callers if caller.name in ("anonymous", "organisation admin")]

    def callers_for(self, rule: Rule) -> list[Caller]:
        """The callers that are relevant to a rule."""
        if ALL_CASES:
            return self.callers
        names = named(rule)
        return [caller for caller in self.callers if not caller.relevant_to or caller.relevant_to & names]


@contextmanager
def rolled_back() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture(scope="module")
def matrix(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Matrix]:
    with django_db_blocker.unblock():
        matrix = Matrix()
    yield matrix
    with django_db_blocker.unblock():
        call_command("flush", interactive=False, verbosity=0)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    """Stops the clock of authenticator apps, so that a code is right for every caller."""
    now = mock.Mock(time=mock.Mock(return_value=time.time()))
    with (
        mock.patch("django_otp.plugins.otp_totp.models.time", now),
        mock.patch("tests.support.accounts.time", now),
    ):
        yield


def response_to(call: Call, caller: Caller) -> Any:
    client = APIClient(raise_request_exception=False)
    cache.clear()  # Throttles' counters.
    with rolled_back():
        return client.generic(
            call.method, call.path, call.body, content_type="application/json", headers=caller.headers
        )


def problem(call: Call, route: Route, caller: Caller, expected: Result, sdk: bool) -> str:
    """A description of an unexpected response; empty for an expected one."""
    response = response_to(call, caller)
    status = response.status_code
    match expected:
        case "allowed":
            is_right = status not in (401, 403, 404, 405, 429) and status < 500
        case "unauthenticated":
            is_right = status == (403 if sdk else 401)
        case "denied":
            # A view for users only does not authenticate master API keys.
            is_right = status == 403 or (status == 401 and caller.kind == "master key")
        case "hidden":
            is_right = status in HIDDEN_STATUSES.get(f"{call.method} {route.path}", {404})
    content = response.content[:200].decode(errors="replace") if hasattr(response, "content") else ""
    return "" if is_right else f"{caller}: {status}, expected is {expected}: {content}"


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_end_point__every_method_and_caller__expected_result(route: Route, matrix: Matrix) -> None:
    problems: list[str] = []
    paths = set()
    for method in sorted(route.methods):
        rule = calls.rule(method, route)
        assert rule is not None, f"{method} {route} is not listed in permissions/rules.py"
        for call in calls.call(method, route, matrix.world):
            paths.add(call.path.partition("?")[0])
            for caller in matrix.callers_for(rule):
                expected = expected_result(rule, caller, call.special)
                if found := problem(call, route, caller, expected, isinstance(rule, SDKKey)):
                    problems.append(f"{method} {call.path}, {found}")
            if method == "GET":
                problems += problems_of_head(call, matrix)
    for path in sorted(paths):
        problems += problems_of_options(path, matrix)
    assert not problems, "\n" + "\n".join(problems)


def problems_of_head(call: Call, matrix: Matrix) -> Iterator[str]:
    """HEAD must have the same status as GET."""
    for caller in matrix.two_callers:
        get = response_to(call, caller).status_code
        head = response_to(Call("HEAD", call.path), caller).status_code
        if get != head:
            yield f"{caller}: GET {get}, HEAD {head}"


def problems_of_options(path: str, matrix: Matrix) -> Iterator[str]:
    """OPTIONS must be denied. Views do not need it: preflights are answered before them."""
    for caller in matrix.two_callers:
        status = response_to(Call("OPTIONS", path), caller).status_code
        if status not in (401, 403):
            yield f"{caller}: OPTIONS {status}"


def test_rules__compared_with_the_views__none_missing_and_none_unused() -> None:
    used = set()
    for route in [*ROUTES, *routes.ofrep()]:
        view = route.callback.cls
        assert [permission.__name__ for permission in view.permission_classes] == ["RulesPermission"], route
        for method in route.methods | ({"HEAD"} if "GET" in route.methods else set()):
            actions = getattr(route.callback, "actions", None)
            if actions is not None and method == "HEAD":
                method = "GET"
            used.add((view.rules, actions[method.lower()] if actions else method.lower()))
    listed = {(name, action) for name, rules in RULES.items() for action in rules}
    assert (listed - used, used - listed) == (set(), set())


def test_other_endpoints__every_path__listed_and_expected_result(matrix: Matrix) -> None:
    api_paths = {route.path for route in [*ROUTES, *routes.ofrep()]}
    others = [route for route in routes.every() if route.path not in api_paths and not routes.is_of_dashboard(route)]
    assert {route.path for route in others} == set(OTHER_ENDPOINTS)
    problems = []
    names = ("wrong token", "server key", "organisation admin")
    callers = [caller for caller in matrix.callers if caller.name in names]
    for route in others:
        rule = OTHER_ENDPOINTS[route.path]
        path = "/" + route.path.format_map(dict.fromkeys(route.arguments, matrix.world.a.api_key))
        for caller in callers:
            is_allowed = expected_result(rule, caller) == "allowed"
            for method in ("GET", "POST"):
                status = response_to(Call(method, path, json.dumps({})), caller).status_code
                if status >= 500 or (not is_allowed and status not in (401, 403, 404, 405)):
                    problems.append(f"{caller}: {method} {path} {status}")
                if is_allowed and method == "GET" and status in (401, 403, 404):
                    problems.append(f"{caller}: {method} {path} {status}")
    assert problems == []
