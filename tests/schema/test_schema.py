"""Tests of the API against its OpenAPI description by schemathesis: every operation, with valid and invalid bodies and
queries, as three callers. No response is a 5xx, and each has a status, a type and a schema of the description.

``SCHEMA_EXAMPLES`` is the number of cases of each kind for an operation.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

import pytest
import schemathesis
from django.core.cache import cache
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given, settings
from pytest_django import DjangoDbBlocker
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from permissions.rule import NOT_AVAILABLE
from tests.hostile import routes
from tests.hostile.routes import Route
from tests.hostile.test_routes import arguments
from tests.hostile.whole_world import make_world
from tests.permissions import calls
from tests.permissions.calls import QUERIES, end_point_of

# The world is created outside of the tests' transactions; see tests/permissions/test_matrix.py.
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quiet"), pytest.mark.timeout(3600), pytest.mark.slow]

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "1"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# The description leaves out endpoints that are not available.
ROUTES = [
    route for route in routes.api() if any(calls.rule(method, route) is not NOT_AVAILABLE for method in route.methods)
]
ROUTES += routes.ofrep()
PATHS = sorted({route.path for route in ROUTES})


class Described:
    """The API's description, and the world that calls refer to."""

    def __init__(self) -> None:
        self.api = schemathesis.openapi.from_wsgi("/api/v1/swagger.json?format=json", get_wsgi_application())
        self.operations = {
            (operation.method.upper(), _bare(operation.path)): operation
            for operation in (result.ok() for result in self.api.get_all_operations())
        }
        self.world = make_world("owner", ROUTES)
        self.statuses: Counter[int] = Counter()


@pytest.fixture(scope="module")
def described(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Described]:
    with django_db_blocker.unblock():
        made = Described()
    yield made
    print(dict(sorted(made.statuses.items())))
    with django_db_blocker.unblock():
        call_command("flush", interactive=False, verbosity=0)


@contextmanager
def one_connection() -> Iterator[None]:
    """Requests do not close the connection of the test's transaction, as with Django's own client."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)


class Trial:
    """The cases of one operation."""

    def __init__(self, described: Described, method: str, route: Route) -> None:
        self.described = described
        world = described.world
        self.operation = described.operations[method, _bare("/" + route.path)]
        self.wrong: set[str] = set()
        names = re.findall(r"\{(\w+)\}", self.operation.path)
        self.path = dict(zip(names, map(str, arguments(route, world).values()), strict=True))
        query = QUERIES[route.path](world) if method == "GET" and route.path in QUERIES else ""
        self.query = dict(parse_qsl(query.removeprefix("?")))
        end_point = None if is_ofrep(route) else end_point_of(method, route)
        self.body = end_point.body(world) if end_point else None
        if is_ofrep(route):
            self.body = {"context": {"targetingKey": "ada"}}
        self.callers = {
            "admin": {"Authorization": world.admin._credentials["HTTP_AUTHORIZATION"]},
            "environment key": {"X-Environment-Key": world.a.api_key},
            "server key": {"X-Environment-Key": world.server_key["key"]},
        }
        if is_ofrep(route):
            self.callers["OFREP key"] = {"X-API-Key": world.a.api_key}
            self.callers["OFREP server key"] = {"Authorization": f"Bearer {world.server_key['key']}"}

    @property
    def own(self) -> list[str]:
        """The callers that the operation accepts."""
        schemes = str(self.operation.definition.raw.get("security", ""))
        if "serverKey" in schemes:
            return ["server key"]
        if "ofrepKey" in schemes:
            return ["OFREP key", "OFREP server key"]
        return ["environment key", "server key"] if "environmentKey" in schemes else ["admin"]

    def run(self) -> None:
        body = {} if self.body is None else {"body": self.body, "media_type": "application/json"}
        right = self.operation.Case(path_parameters=self.path, query=self.query, **body)
        for caller in self.callers:
            self.call(right, caller)
        valid = {"path_parameters": self.path, **({"query": self.query} if self.query else {})}
        self.examples(GenerationMode.POSITIVE, **valid)
        self.examples(GenerationMode.NEGATIVE, **valid)
        # Objects that do not exist: every response is a 404.
        self.examples(GenerationMode.POSITIVE, count=1)

    def examples(self, mode: GenerationMode, count: int = EXAMPLES, **fixed: Any) -> None:
        if mode is GenerationMode.NEGATIVE and not (self.operation.body or self.operation.query):
            return

        @settings(
            max_examples=count,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=self.operation.as_strategy(generation_mode=mode, **fixed))
        def each(case: Any) -> None:
            for caller in self.own:
                self.call(case, caller)

        each()

    def call(self, case: Any, caller: str) -> None:
        cache.clear()
        with transaction.atomic(), one_connection():
            # The WSGI client does not decompress responses.
            response = case.call(headers={"Accept-Encoding": "identity", **self.callers[caller]})
            transaction.set_rollback(True)
        self.described.statuses[response.status_code] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                received = f"{response.status_code} {response.text[:300]}"
                self.wrong.add(f"{self.operation.label} as {caller}: {failure}\n    {received}\n    {case.body!r:.300}")


@pytest.mark.parametrize("path", PATHS)
def test_operations__valid_and_invalid_cases__responses_as_described(path: str, described: Described) -> None:
    wrong = []
    for route in (route for route in ROUTES if route.path == path):
        for method in sorted(route.methods & {"GET", "POST", "PUT", "PATCH", "DELETE"}):
            trial = Trial(described, method, route)
            trial.run()
            wrong += sorted(trial.wrong)
    assert not wrong, f"{len(wrong)} answers are not as described\n" + "\n".join(wrong[:20])


def test_description__end_points__all_in_it(described: Described) -> None:
    served = {(method, _bare("/" + route.path)) for route in ROUTES for method in route.methods - {"HEAD"}}
    assert set(described.operations) == served
    without_permission = [
        name for name, each in described.operations.items() if "x-permission" not in each.definition.raw
    ]
    assert without_permission == []


def is_ofrep(route: Route) -> bool:
    return route.path.startswith("ofrep/")


def _bare(path: str) -> str:
    """The path without the names of its arguments."""
    return re.sub(r"\{\w+\}", "{}", path)
