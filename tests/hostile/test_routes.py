"""Every route of the API with invalid paths, queries, credentials and methods: a clear 4xx, and no row changed."""

import re
from collections.abc import Callable
from copy import copy
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.db import connection
from rest_framework.test import APIClient

from tests.hostile import routes
from tests.hostile.endpoints import END_POINTS
from tests.hostile.refusals import client_of, complaint, roll_back_if_accepted, rows
from tests.hostile.routes import Route
from tests.hostile.values import MANY_DIGITS, in_turn
from tests.operations.world import WorldInProcess as World
from tests.support.samples import ALL_CASES

pytestmark = pytest.mark.django_db

ROUTES = routes.api()
every_route = pytest.mark.parametrize("route", ROUTES, ids=str)

HOSTILE_ARGUMENTS = (
    "0",
    "-1",
    str(2**31),
    str(2**63),
    str(2**70),
    MANY_DIGITS,
    "1e3",
    "١٢",
    "x",
    "%00",
    "1%00",
    "%ff",
    "%F0%9F%8F%81",
    "' OR 1=1 --",
    "x" * 2_000,
)
HOSTILE_QUERY = (
    "",
    "-1",
    "x",
    str(2**63),
    str(2**70),
    MANY_DIGITS,
    "%00",
    "%ff",
    "1,x",
    "1,,2",
    "[]",
    "true",
    "x" * 2_000,
)
# Values that reach both databases in the same form, or do not reach them.
DATABASE_INDEPENDENT = {"", "0", "-1", "1e3", "١٢", "x", "1,x", "1,,2", "[]", "true", MANY_DIGITS}
# Query parameters by the last word of the path; each list also has its page.
PARAMETERS: dict[str, tuple[str, ...]] = {
    "projects": ("organisation", "uuid"),
    "environments": ("project",),
    "features": (
        "environment",
        "segment",
        "identity",
        "search",
        "sort_field",
        "sort_direction",
        "tags",
        "tag_strategy",
        "is_archived",
        "is_enabled",
        "value_search",
        "type",
        "owners",
        "group_owners",
    ),
    "featurestates": ("environment", "feature", "feature_name", "feature_segment", "anyIdentity"),
    "feature-segments": ("environment", "feature"),
    "segments": ("q", "identity", "include_feature_specific"),
    "associated-features": ("environment",),
    "identities": ("q", "identifier", "transient"),
    "traits": ("deleteAllMatchingTraits",),
    "users": ("exclude_current",),
    "flags": ("feature",),
    "user-permissions": ("user",),
    "user-group-permissions": ("group",),
    "audit": ("project", "environments", "search", "is_system_event"),
    "usage-data": ("project_id", "environment_id", "period", "client_application_name", "user_agent"),
    "streams": ("project_id", "environment_id", "period", "client_application_name", "user_agent"),
    "evaluation-data": ("environment_id", "period", "client_application_name", "user_agent"),
    "list-change-requests": ("committed", "search", "feature_id", "segment_id", "live_from_after"),
    "change-requests": ("committed", "search", "segment_id"),
}
# One class makes the pages of all lists, so fewer values do.
HOSTILE_PAGE = ("", "0", "-1", "x", str(2**63), MANY_DIGITS, "%00")
PAGE = dict.fromkeys(("page", "page_size"), HOSTILE_PAGE)

SDK = ("flags", "identities", "traits", "analytics")
# These accept calls without a key.
OPEN = {
    "api/v1/auth/users/": "POST",
    "api/v1/auth/login/": "POST",
    "api/v1/auth/login/code/": "POST",
    "api/v1/auth/users/reset_password/": "POST",
    "api/v1/auth/users/reset_password_confirm/": "POST",
}

# A route of each kind of key. Authentication is the same for all routes of a kind.
KEYS = {"api/v1/projects/", "api/v1/flags/", "api/v1/environment-document/"}

SCOPE_NOT_IN_PATH = {
    "api/v1/features/featurestates/",
    "api/v1/features/feature-segments/",
    "api/v1/features/create-feature-export/",
}

VERSIONS = "api/v1/environments/{environment_pk}/features/{feature_pk}/versions/"

NO_BODY = {
    "POST api/v1/features/workflows/change-requests/{pk}/approve/",
    "POST api/v1/features/workflows/change-requests/{pk}/commit/",
    "POST api/v1/projects/{project_pk}/change-requests/{pk}/approve/",
    "POST api/v1/projects/{project_pk}/change-requests/{pk}/commit/",
    "POST api/v1/auth/logout/",
    "POST api/v1/auth/app/activate/",
    "POST api/v1/auth/app/deactivate/",
    "POST api/v1/environments/{environment_api_key}/enable-v2-versioning/",
    "POST api/v1/environments/{environment_api_key}/disable-v2-versioning/",
    *(f"POST {VERSIONS}{rest}" for rest in ("", "{uuid}/publish/", "{uuid}/featurestates/")),
    *(f"{method} {VERSIONS}{{uuid}}/featurestates/{{pk}}/" for method in ("PUT", "PATCH")),
    "POST api/v1/organisations/{organisation_pk}/groups/{group_pk}/users/{user_pk}/make-admin",
    "POST api/v1/organisations/{organisation_pk}/groups/{group_pk}/users/{user_pk}/remove-admin",
    "POST api/v1/organisations/{organisation_pk}/invites/{pk}/resend/",
    "POST api/v1/users/join/{hash}/",
    "POST api/v1/users/join/link/{hash}/",
}


@pytest.fixture
def world(db: None, whole_world: World) -> World:
    """A copy, since the objects that a test creates are rolled back at its end."""
    return copy(whole_world)


def queries(route: Route) -> dict[str, tuple[str, ...]]:
    """Invalid values of each parameter of the route. Only lists have pages."""
    names = PARAMETERS.get(route.path.split("/")[-2], ())
    return dict.fromkeys(names, HOSTILE_QUERY) | ({} if route.path.endswith("}/") else PAGE)


def worth_trying(hostile: tuple[str, ...]) -> list[str]:
    """On SQLite all values; on PostgreSQL those whose results may differ."""
    return [
        value for value in hostile if ALL_CASES or connection.vendor == "sqlite" or value not in DATABASE_INDEPENDENT
    ]


def test_routes__all_apps__found() -> None:
    paths = {route.path for route in ROUTES}
    assert {"api/v1/flags/", "api/v1/projects/", "api/v1/environments/", "api/v1/auth/login/"} <= paths
    assert len(paths) > 50


def test_end_points__every_route_with_a_body__listed(world: World) -> None:
    """A new endpoint has to be added to ``endpoints.py``, so that its fields are tried as well."""
    covered = {f"{each.method} {route_of(each.url(world)).path}" for each in END_POINTS}
    with_body = {f"{method} {route.path}" for route in ROUTES for method in route.methods & {"POST", "PUT", "PATCH"}}
    assert " ".join(sorted(with_body - covered - NO_BODY)) == ""


@pytest.mark.database
@pytest.mark.parametrize("route", [route for route in ROUTES if route.arguments], ids=str)
def test_path__hostile_arguments__client_error(route: Route, world: World) -> None:
    client = client_of(world, key_of(route))
    valid = arguments(route, world)
    before = rows()
    wrong = {}
    methods = sorted(route.methods)
    for number, name in enumerate(route.arguments):
        for turn, value in enumerate(worth_trying(HOSTILE_ARGUMENTS), number):
            path = route.filled({**valid, name: quote(value, safe="%")})
            # A view looks up the objects of its path in the same function for all methods.
            for method in in_turn(methods, turn % len(methods), len(methods)):
                response = roll_back_if_accepted(client, method, path, "{}")
                if problem := complaint(response):
                    wrong[f"{method} {path[:150]}"] = problem
    assert rows() == before
    assert wrong == {}


@pytest.mark.database
@pytest.mark.parametrize("route", [route for route in ROUTES if "GET" in route.methods and queries(route)], ids=str)
def test_query__hostile_values__no_server_error(route: Route, world: World) -> None:
    client = client_of(world, key_of(route))
    path = route.filled(arguments(route, world))
    required = f"environment={world.a.pk}&environment_id={world.a.pk}&project={world.project.pk}"
    required += "&identifier=ada" if key_of(route) == "sdk" else f"&feature={world.feature['id']}"
    before = rows()
    wrong = {}
    for turn, (name, hostile) in enumerate(queries(route).items(), ROUTES.index(route)):
        # Many lists read parameters of one name, or of one type, by the same code.
        for value in in_turn(worth_trying(hostile), turn, 2):
            response = roll_back_if_accepted(client, "GET", f"{path}?{required}&{name}={quote(value, safe='%')}")
            if response.status_code >= 400 and (problem := complaint(response)):
                wrong[f"{name}={value[:50]}"] = problem
    assert rows() == before
    assert wrong == {}


@pytest.mark.parametrize(
    "route", [pytest.param(each, marks=pytest.mark.database if each.path in KEYS else ()) for each in ROUTES], ids=str
)
def test_credentials__none_or_wrong__refused(route: Route, world: World) -> None:
    path = route.filled(arguments(route, world))
    sdk = key_of(route) != "user"
    headers: list[dict[str, str]] = [{}]
    if sdk:
        headers += [{"X-Environment-Key": key} for key in ("nope", "", "ser.nope", "x" * 5_000, "a\x00b", "ü")]
        headers += [{"Authorization": world.admin._credentials["HTTP_AUTHORIZATION"]}]
    else:
        headers += [{"X-Environment-Key": world.a.api_key}]
        values = ("Token", "Token ", "Token a b", "Token nope", "Token \xff", "Token a\x00b", "Api-Key nope", "Api-Key")
        headers += [
            {"Authorization": value} for value in (*values, f"Api-Key {'x' * 5_000}", "Basic eDp5", "x" * 5_000)
        ]
    if route.path not in KEYS:
        # No credentials, and one of the others in turn.
        headers = headers[:1] + in_turn(headers[1:], ROUTES.index(route), len(headers) - 1)
    before = rows()
    wrong = {}
    for header in headers:
        for method in sorted(route.methods - {OPEN.get(route.path)}):
            client = APIClient(raise_request_exception=False)
            response = roll_back_if_accepted(client, method, path, "{}", header)
            if problem := complaint(response, (403,) if sdk else (401,)):
                wrong[f"{method} {str(header)[:60]}"] = problem
    assert rows() == before
    assert wrong == {}


@every_route
def test_method__not_served__405(route: Route, world: World) -> None:
    path = route.filled(arguments(route, world))
    client = client_of(world, key_of(route))
    before = rows()
    wrong = {}
    for method in sorted({"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} - served(route)):
        # If the scope is in the body or the query, its absence may be refused first.
        statuses = (400, 403, 405) if route.path in SCOPE_NOT_IN_PATH else (405,)
        if problem := complaint(roll_back_if_accepted(client, method, path, "{}"), statuses):
            wrong[method] = problem
    assert rows() == before
    assert wrong == {}


def key_of(route: Route) -> str:
    """The kind of key that the route takes."""
    first = route.path.split("/")[2]
    if first == "environment-document":
        return "server"
    return "sdk" if first in SDK else "user"


def served(route: Route) -> set[str]:
    """The methods of all routes of this path. Several views may share a path."""
    return {method for other in ROUTES if other.path == route.path for method in other.methods}


def route_of(path: str) -> Route:
    """The route that serves this path."""
    steps = path.removeprefix("/").split("/")
    for route in ROUTES:
        pattern = route.path.split("/")
        if len(pattern) == len(steps) and all(p.startswith("{") or p == s for p, s in zip(pattern, steps, strict=True)):
            return route
    raise LookupError(path)


def arguments(route: Route, world: World) -> dict[str, Any]:
    """Arguments for objects that exist, by argument name."""
    return {name: found(route, name, world) for name in route.arguments}


def found(route: Route, name: str, world: World) -> Any:
    """The value for an argument, by the word before it in the path."""
    owner = re.split(r"/(?:get-by-uuid/)?\{" + name, route.path)[0].rsplit("/", 1)[-1]
    objects: dict[str, Callable[[], Any]] = {
        "organisations": lambda: {"id": world.organisation.pk, "uuid": world.organisation.uuid},
        "projects": lambda: {"id": world.project.pk, "uuid": world.project.uuid},
        "environments": lambda: {
            "id": world.a.pk if name == "environment_pk" else world.a.api_key,
            "uuid": world.a.uuid,
        },
        "users": lambda: {"id": world.member.pk},
        "features": lambda: world.split,
        "flags": lambda: {"id": world.split["name"]},
        "mv-options": lambda: world.option,
        "options": lambda: world.option,
        "download-feature-export": lambda: world.export,
        "feature-import": lambda: {"id": world.a.pk},
        "featurestates": lambda: world.identity_override if "identities" in route.path else world.split_state,
        "feature-segments": lambda: world.override["feature_segment"],
        "segments": lambda: world.segment,
        "segment-overrides": lambda: {"id": world.split_override and world.segment["id"]},
        "identities": lambda: world.identity,
        "traits": lambda: world.trait,
        "tags": lambda: world.tag,
        "change-requests": lambda: world.segment_request if "projects" in route.path else world.change_request,
        "audit": lambda: world.audit_record,
        "api-keys": lambda: world.server_key,
        "master-api-keys": lambda: {"id": world.master_key["prefix"]},
        "webhooks": lambda: world.organisation_webhook if "organisations" in route.path else world.webhook,
        "groups": lambda: world.group,
        "invites": lambda: world.invite,
        "invite-links": lambda: world.invite_link,
        "join": lambda: {"id": world.invite_hash},
        "link": lambda: {"id": world.invite_link["hash"]},
        "versions": lambda: {"uuid": uuid4()},
        "environment-feature-versions": lambda: {"uuid": uuid4()},
        "user-group-permissions": lambda: {
            "organisations": world.organisation_group_permission,
            "projects": world.project_group_permission,
            "environments": world.environment_group_permission,
        }[route.path.split("/")[2]],
        "user-permissions": lambda: {
            "organisations": world.organisation_permission,
            "projects": world.project_permission,
            "environments": world.environment_permission,
        }[route.path.split("/")[2]],
    }
    return objects[owner]()["uuid" if "uuid" in name else "id"]
