"""Random calls of one tenant with ids of another one, in the path, the query and the body."""

import random
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from math import ceil
from typing import Any

from tests.hostile import values
from tests.hostile.routes import Route
from tests.hostile.test_routes import PAGE, PARAMETERS, arguments
from tests.operations.world import WorldInProcess as World
from tests.permissions.calls import QUERIES, end_point_of

# Fields that refer to objects. They are also added to bodies that do not need them.
REFERENCES = (
    "id",
    "user",
    "group",
    "organisation",
    "project",
    "environment",
    "feature",
    "segment",
    "identity",
    "feature_segment",
    "change_request",
    "version_of",
    "multivariate_feature_option",
    "source_identity_id",
)
LISTS = ("tags", "owners", "group_owners", "user_ids", "group_ids", "users", "approvals", "group_assignments")
QUERY = ("organisation", "project", "environment", "environment_id", "feature", "segment", "identity", "user", "uuid")

# After these calls (sign-out, leaving, a new environment key) all later calls would be refused.
ENDS_ACCESS = re.compile(r"auth/|remove-users|update-role|users/join|leave|environments/\{\w+\}/$")

# These take secrets: a caller with another user's password, code or invitation is rightly accepted.
SECRETS = re.compile(r"/auth/|users/join/")


@dataclass(frozen=True)
class Attempt:
    method: str
    route: Route
    path: str
    body: str
    foreign: bool
    """Whether it has an id of the other tenant."""

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.body}"

    @property
    def kept(self) -> bool:
        """Whether its changes may stay for the later calls."""
        return self.method != "DELETE" and not ENDS_ACCESS.search(self.route.path)


class Intruder:
    """The tenant ``own``, which has every id of ``other``."""

    def __init__(self, own: World, other: World, numbers: list[int], chance: random.Random) -> None:
        self.own = own
        self.other = other
        self.numbers = numbers
        self.chance = chance

    def attempts(self, routes: list[Route], count: int) -> Iterator[Attempt]:
        """At least ``count`` attempts, the same number for each route and method."""
        targets = [(route, method) for route in routes for method in sorted(route.methods)]
        for _ in range(max(2, ceil(count / len(targets)))):
            self.chance.shuffle(targets)
            for route, method in targets:
                yield self.attempt(route, method)

    def attempt(self, route: Route, method: str) -> Attempt:
        """An attempt with foreign ids, mostly in one part only: of several parts the first one is refused."""
        parts = [part for part, takes_ids in self._parts(route, method).items() if takes_ids]
        chosen = {self.chance.choice(parts)} if parts and self.chance.random() < 0.8 else set(parts)
        path = self._path(route, "path" in chosen)
        body = self._body(route, method, "body" in chosen)
        query = self._query(route, method, "query" in chosen)
        return Attempt(method, route, path + query, body, bool(chosen))

    def _parts(self, route: Route, method: str) -> dict[str, bool]:
        secret = SECRETS.search(route.path) is not None
        return {
            "path": bool(route.arguments) and not secret,
            "body": end_point_of(method, route) is not None,
            "query": method == "GET",
        }

    def _path(self, route: Route, foreign: bool) -> str:
        own, other = arguments(route, self.own), arguments(route, self.other)
        stolen: set[str] = set()
        if foreign:
            stolen = {self.chance.choice(route.arguments)} | {
                name for name in route.arguments if self.chance.random() < 0.3
            }
        return route.filled({name: (other if name in stolen else own)[name] for name in route.arguments})

    def _body(self, route: Route, method: str, foreign: bool) -> str:
        end_point = end_point_of(method, route)
        if end_point is None:
            return ""
        body = end_point.body(self.own)
        if foreign:
            if not SECRETS.search(route.path) and self.chance.random() < 0.6:
                body = self._mixed(body, end_point.body(self.other))
            else:
                body = self._extended(body, set(end_point.fields))
        return values.encode(body)

    def _mixed(self, own: Any, other: Any) -> Any:
        """The first body with one value, or all, of the second. The bodies differ only in ids."""
        paths = list(_differences(own, other))
        if not paths:
            return own
        body = deepcopy(own)
        for *parents, last in self.chance.sample(paths, self.chance.choice((1, 1, len(paths)))):
            part, foreign = body, other
            for step in parents:
                part, foreign = part[step], foreign[step]
            part[last] = foreign[last]
        return body

    def _extended(self, body: Any, fields: set[str]) -> Any:
        """The body with one or two more references, also in nested objects; mostly in fields of the endpoint."""
        body = deepcopy(body)
        objects = list(_objects(body))
        if not objects:
            return body
        target = objects[0] if self.chance.random() < 0.6 else self.chance.choice(objects)
        names = (*REFERENCES, *LISTS)
        known = [name for name in names if name in fields or name in target]
        chosen = known if known and self.chance.random() < 0.8 else names
        for name in self.chance.sample(chosen, self.chance.choice((1, min(2, len(chosen))))):
            target[name] = self._value_for(name)
        return body

    def _query(self, route: Route, method: str, foreign: bool) -> str:
        if method != "GET":
            return ""
        required = QUERIES[route.path](self.own) if route.path in QUERIES else "?"
        if not foreign:
            return required
        if route.path in QUERIES and self.chance.random() < 0.4:
            return str(QUERIES[route.path](self.other))
        known = [name for name in PARAMETERS.get(route.path.split("/")[-2], ()) if name not in PAGE]
        names = [name for name in (*known, *QUERY) if self.chance.random() < 0.3 and f"{name}=" not in required]
        wanted = {name: self._value_for(name) for name in names or ["project"]}
        texts = {name: value[0] if isinstance(value, list) else value for name, value in wanted.items()}
        return required + "".join(f"&{name}={text}" for name, text in texts.items())

    def _value_for(self, name: str) -> Any:
        """An object of the other tenant that suits the field, mostly; otherwise any of its primary keys."""
        world, chance = self.other, self.chance
        people = (world.user.pk, world.member.pk)
        objects: dict[str, Any] = {
            "organisation": world.organisation.pk,
            "project": world.project.pk,
            "project_id": world.project.pk,
            "uuid": world.project.uuid,
            "environment": world.a.pk,
            "environment_id": world.a.pk,
            "environments": world.a.pk,
            "feature": world.feature["id"],
            "feature_id": world.feature["id"],
            "segment": world.segment["id"],
            "segment_id": world.segment["id"],
            "version_of": world.segment["id"],
            "feature_segment": world.override["feature_segment"]["id"],
            "multivariate_feature_option": world.option["id"],
            "change_request": world.change_request["id"],
            "identity": world.identity["id"],
            "source_identity_id": world.identity["id"],
            "user": chance.choice(people),
            "group": world.group["id"],
            "tags": [world.tag["id"]],
            "owners": [chance.choice(people)],
            "user_ids": [chance.choice(people)],
            "users": [{"id": chance.choice(people)}],
            "group_owners": [world.group["id"]],
            "group_ids": [world.group["id"]],
            "approvals": [{"user": chance.choice(people)}],
            "group_assignments": [{"group": world.group["id"]}],
        }
        return objects[name] if name in objects and chance.random() < 0.9 else chance.choice(self.numbers)


def _objects(body: Any) -> Iterator[dict[str, Any]]:
    if isinstance(body, dict):
        yield body
    for part in body.values() if isinstance(body, dict) else body if isinstance(body, list) else ():
        yield from _objects(part)


def _differences(own: Any, other: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to all values in which two bodies of the same shape differ."""
    if isinstance(own, dict) and isinstance(other, dict):
        # In the order of the body, so that TENANT_SEED gives the same calls in each process.
        for name in [name for name in own if name in other]:
            yield from _differences(own[name], other[name], (*path, name))
    elif isinstance(own, list) and isinstance(other, list):
        for index, (mine, theirs) in enumerate(zip(own, other, strict=False)):
            yield from _differences(mine, theirs, (*path, index))
    elif own != other and path:
        yield path
