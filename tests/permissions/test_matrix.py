"""Every end point, every method, every kind of caller: the answer is the one that the table of rules promises.

What is promised comes from the rules' declarations and from what a caller was given (``expectation``), never from the
code that decides. One world for all: each call happens in a savepoint that is rolled back.
"""

import json
import os
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
from tests.permissions.callers import Caller, Callers
from tests.permissions.calls import Call
from tests.permissions.expectation import Promise, named, promise

# The stage is made outside of any test, and stays for all of them. Without the mark it would be made in, and flushed
# from, the database that the developer works with.
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quiet")]

ROUTES = routes.api()

# Every caller at every end point, also those with permissions that the end point's rule does not name.
EVERY = os.environ.get("MATRIX") == "every"

# What the call is about stands in its query or in its body: these refuse in their own ways what the caller cannot see,
# each the same as what there is not.
HIDDEN_OTHERWISE = {
    "GET api/v1/environments/": {400},
    "GET api/v1/features/featurestates/": {403},
    "POST api/v1/features/featurestates/": {403},
    "POST api/v1/features/feature-segments/": {403},
    "POST api/v1/features/feature-segments/update-priorities/": {400, 403},
}


class Stage:
    """An organisation with everybody who may call."""

    def __init__(self) -> None:
        self.world = make_world("owner", ROUTES)
        self.callers = Callers(self.world.organisation, self.world.project, self.world.a).all()
        self.few = [caller for caller in self.callers if caller.name in ("nobody", "organisation admin")]

    def callers_for(self, rule: Rule) -> list[Caller]:
        """Those whose answers say something about such a rule."""
        if EVERY:
            return self.callers
        keys = named(rule)
        return [caller for caller in self.callers if not caller.matters_to or caller.matters_to & keys]


@contextmanager
def undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture(scope="module")
def stage(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Stage]:
    with django_db_blocker.unblock():
        made = Stage()
    yield made
    with django_db_blocker.unblock():
        call_command("flush", interactive=False, verbosity=0)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    """The time by which authenticator apps' codes change stands still: one that is right is so for every caller."""
    now = mock.Mock(time=mock.Mock(return_value=time.time()))
    with (
        mock.patch("django_otp.plugins.otp_totp.models.time", now),
        mock.patch("tests.support.accounts.time", now),
    ):
        yield


def answer(call: Call, caller: Caller) -> Any:
    client = APIClient(raise_request_exception=False)
    # Whatever throttles, nobody calls too often here.
    cache.clear()
    with undone():
        return client.generic(
            call.method, call.path, call.body, content_type="application/json", headers=caller.headers
        )


def complaint(call: Call, route: Route, caller: Caller, promised: Promise, sdk: bool) -> str:
    """What is wrong with the answer, in words; empty: nothing."""
    response = answer(call, caller)
    status = response.status_code
    match promised:
        case "allowed":
            right = status not in (401, 403, 404, 405, 429) and status < 500
        case "unauthenticated":
            right = status == (403 if sdk else 401)
        case "refused":
            # A view that is for users alone need not know what a master API key is.
            right = status == 403 or (status == 401 and caller.kind == "master key")
        case "hidden":
            right = status in HIDDEN_OTHERWISE.get(f"{call.method} {route.path}", {404})
    said = response.content[:200].decode(errors="replace") if hasattr(response, "content") else ""
    return "" if right else f"{caller}: {status} where {promised} is promised: {said}"


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_end_point__every_method_and_caller__as_the_table_says(route: Route, stage: Stage) -> None:
    wrong: list[str] = []
    paths = set()
    for method in sorted(route.methods):
        rule = calls.rule(method, route)
        assert rule is not None, f"{method} {route} has no line in permissions/rules.py"
        for call in calls.call(method, route, stage.world):
            paths.add(call.path.partition("?")[0])
            for caller in stage.callers_for(rule):
                promised = promise(rule, caller, call.special)
                if problem := complaint(call, route, caller, promised, isinstance(rule, SDKKey)):
                    wrong.append(f"{method} {call.path}, {problem}")
            if method == "GET":
                wrong += head(call, stage)
    for path in sorted(paths):
        wrong += options(path, stage)
    assert not wrong, "\n" + "\n".join(wrong)


def head(call: Call, stage: Stage) -> Iterator[str]:
    """HEAD is as GET."""
    for caller in stage.few:
        get, head = answer(call, caller).status_code, answer(Call("HEAD", call.path), caller).status_code
        if get != head:
            yield f"{caller}: GET {get}, HEAD {head}"


def options(path: str, stage: Stage) -> Iterator[str]:
    """NotAvailable needs OPTIONS: browsers' preflights are answered ahead of the views."""
    for caller in stage.few:
        status = answer(Call("OPTIONS", path), caller).status_code
        if status not in (401, 403):
            yield f"{caller}: OPTIONS {status}"


def test_table__its_lines__are_what_the_views_ask_for() -> None:
    """No view goes by other permissions, and no line is left over from a view that is gone."""
    used = set()
    for route in ROUTES:
        view = route.callback.cls
        assert [each.__name__ for each in view.permission_classes] == ["RulesPermission"], route
        for method in route.methods | ({"HEAD"} if "GET" in route.methods else set()):
            actions = getattr(route.callback, "actions", None)
            if actions is not None and method == "HEAD":
                method = "GET"
            used.add((view.rules, actions[method.lower()] if actions else method.lower()))
    lines = {(name, action) for name, rules in RULES.items() for action in rules}
    assert (lines - used, used - lines) == (set(), set())


def test_outside_of_the_api__every_path__stands_in_the_table(stage: Stage) -> None:
    of_the_api = {route.path for route in ROUTES}
    outside = [route for route in routes.every() if route.path not in of_the_api and not routes.is_of_dashboard(route)]
    assert {route.path for route in outside} == set(OTHER_ENDPOINTS)
    wrong = []
    few = [each for each in stage.callers if each.name in ("wrong token", "server key", "organisation admin")]
    for route in outside:
        rule = OTHER_ENDPOINTS[route.path]
        path = "/" + route.path.format_map(dict.fromkeys(route.arguments, stage.world.a.api_key))
        for caller in few:
            allowed = promise(rule, caller) == "allowed"
            for method in ("GET", "POST"):
                status = answer(Call(method, path, json.dumps({})), caller).status_code
                if status >= 500 or (not allowed and status not in (401, 403, 404, 405)):
                    wrong.append(f"{caller}: {method} {path} {status}")
                if allowed and method == "GET" and status in (401, 403, 404):
                    wrong.append(f"{caller}: {method} {path} {status}")
    assert wrong == []
