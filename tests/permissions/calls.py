"""One valid call of each endpoint and method: to objects that exist, with an accepted body.

The paths' arguments and the bodies are those of the tables of ``tests.hostile``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from permissions.enforcement import rule_of
from permissions.rule import ByTarget, Rule
from tests.hostile import values
from tests.hostile.endpoints import END_POINTS, EndPoint
from tests.hostile.routes import Route
from tests.hostile.test_routes import NO_BODY, arguments
from tests.operations.world import WorldInProcess as World

API = "/api/v1/"

# Required query parameters.
QUERIES = {
    "api/v1/environments/": lambda w: f"?project={w.project.pk}",
    "api/v1/features/featurestates/": lambda w: f"?environment={w.a.pk}",
    "api/v1/features/feature-segments/": lambda w: f"?environment={w.a.pk}&feature={w.feature['id']}",
    "api/v1/identities/": lambda w: "?identifier=ada",
    "api/v1/projects/{project_pk}/features/{feature_pk}/evaluation-data/": lambda w: f"?environment_id={w.a.pk}",
}


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    body: str = ""
    special: bool = False
    """The call's object is one to which the rule's ``special`` applies (``permissions.rule.ByTarget``)."""


def call(method: str, route: Route, world: World) -> Iterator[Call]:
    """One call, or two if the rule depends on the object."""
    end_point = end_point_of(method, route)
    if end_point is not None:
        path, body = end_point.url(world), values.encode(end_point.body(world))
    else:
        query = QUERIES[route.path](world) if method == "GET" and route.path in QUERIES else ""
        path, body = route.filled(arguments(route, world)) + query, ""
    special = isinstance(rule(method, route), ByTarget)
    yield Call(method, path, body, special=special)
    if special:
        yield _not_special(method, route, world)


def _not_special(method: str, route: Route, world: World) -> Call:
    """The call for a feature without options, or for an environment's default state."""
    if route.path == "api/v1/projects/{project_pk}/features/":
        return Call(method, route.filled(arguments(route, world)), values.encode({"name": "plain"}))
    if route.path.startswith("api/__future__/"):
        return Call(method, route.filled(arguments(route, world)), values.encode({"environment_default": {}}))
    if method == "POST":
        feature = {"feature": world.bare_feature.pk, "environment": world.a.pk, "enabled": True}
        return Call(method, f"/{route.path}", values.encode(feature))
    body = {"feature": world.split["id"], "environment": world.a.pk, "enabled": False}
    return Call(method, f"{API}features/featurestates/{world.split_state['id']}/", values.encode(body))


def rule(method: str, route: Route) -> Rule | None:
    """The rule of this endpoint and method in ``permissions.rules``."""
    view = route.callback.cls
    action = getattr(route.callback, "actions", {}).get(method.lower(), method.lower())
    return rule_of(view, action)


def end_point_of(method: str, route: Route) -> EndPoint | None:
    """The entry in the table of bodies; None for a method without a body."""
    pattern = _without_names(f"/{route.path}")
    for end_point in END_POINTS:
        if end_point.method == method and end_point.pattern == pattern:
            return end_point
    has_no_body = method in ("GET", "HEAD", "DELETE") or f"{method} {route.path}" in NO_BODY
    assert has_no_body, f"tests/hostile has no body for {method} {route.path}"
    return None


def _without_names(path: str) -> str:
    """The path without the names of its arguments."""
    return re.sub(r"\{\w+\}", "{}", path)
