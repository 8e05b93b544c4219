"""Random calls of one tenant, with the other's ids wherever a call takes one: path, query and body."""

import json
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
from tests.hostile.world import WorldInProcess as World
from tests.permissions.calls import QUERIES, end_point_of

# Fields that name something, put into bodies that need not have them.
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

# Who signs out, leaves, or changes the key that the paths hold would be refused ever after.
UNSETTLING = re.compile(r"auth/|remove-users|update-role|users/join|leave|environments/\{\w+\}/$")

# These take secrets. Whoever has the other's password, code or invitation is the other, or is invited.
SECRETS = re.compile(r"/auth/|users/join/")


@dataclass(frozen=True)
class Attempt:
    method: str
    route: Route
    path: str
    body: str
    foreign: bool
    """Something of the other tenant is in it."""

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.body}"

    @property
    def kept(self) -> bool:
        """Whether what it does may stay for the calls that follow."""
        return self.method != "DELETE" and not UNSETTLING.search(self.route.path)


class Intruder:
    """The tenant ``own``, who knows every id of ``other``."""

    def __init__(self, own: World, other: World, numbers: list[int], chance: random.Random) -> None:
        self.own = own
        self.other = other
        self.numbers = numbers
        self.chance = chance

    def attempts(self, routes: list[Route], count: int) -> Iterator[Attempt]:
        """At least so many; each end point and method as often as any other."""
        targets = [(route, method) for route in routes for method in sorted(route.methods)]
        for number in range(max(2, ceil(count / len(targets)))):
            self.chance.shuffle(targets)
            for route, method in targets:
                yield self._surely_foreign(route, method) if number == 0 else self.attempt(route, method)

    def _surely_foreign(self, route: Route, method: str) -> Attempt:
        """With something of the other's, where the call takes any of it."""
        attempts = [self.attempt(route, method) for _ in range(8)]
        return next((attempt for attempt in attempts if attempt.foreign), attempts[0])

    def attempt(self, route: Route, method: str) -> Attempt:
        own, other = arguments(route, self.own), arguments(route, self.other)
        # One argument of the other's alone gets further than all of them do.
        stolen = {name for name in route.arguments if self.chance.random() < 0.5 and not SECRETS.search(route.path)}
        path = route.filled({name: (other if name in stolen else own)[name] for name in route.arguments})
        body, thrown_in = self._body(route, method)
        query, asked = self._query(route, method)
        return Attempt(method, route, path + query, body, bool(stolen or thrown_in or asked))

    def _body(self, route: Route, method: str) -> tuple[str, bool]:
        end_point = end_point_of(method, route)
        if end_point is None:
            return "", False
        own = end_point.body(self.own)
        other = own if SECRETS.search(route.path) else end_point.body(self.other)
        mixed = self._extended(self._mixed(own, other)) if self.chance.random() < 0.8 else own
        return values.encode(mixed), json.dumps(mixed) != json.dumps(own)

    def _mixed(self, own: Any, other: Any) -> Any:
        """The one's body with some values of the other's: what differs between the two are ids."""
        if isinstance(own, dict) and isinstance(other, dict):
            return {name: self._mixed(value, other.get(name, value)) for name, value in own.items()}
        if isinstance(own, list) and isinstance(other, list):
            pairs = zip(own, other, strict=False)
            return [self._mixed(mine, theirs) for mine, theirs in pairs] + own[len(other) :]
        return other if self.chance.random() < 0.6 else own

    def _extended(self, body: Any) -> Any:
        """More fields, in the body or in an object somewhere in it."""
        body = deepcopy(body)
        objects = list(_objects(body))
        if objects and self.chance.random() < 0.5:
            target = self.chance.choice(objects)
            for name in self.chance.sample(REFERENCES, 2):
                target.setdefault(name, self.chance.choice(self.numbers))
            name = self.chance.choice(LISTS)
            number = self.chance.choice(self.numbers)
            target.setdefault(name, [{"user": number}] if name == "approvals" else [number])
        return body

    def _query(self, route: Route, method: str) -> tuple[str, bool]:
        if method != "GET":
            return "", False
        required = QUERIES[route.path](self.own) if route.path in QUERIES else "?"
        known = [name for name in PARAMETERS.get(route.path.split("/")[-2], ()) if name not in PAGE]
        names = [name for name in (*known, *QUERY) if self.chance.random() < 0.3]
        if route.path in QUERIES and self.chance.random() < 0.3:
            return QUERIES[route.path](self.other), True
        given = "".join(f"&{name}={self._value_for(name)}" for name in names if f"{name}=" not in required)
        return required + given, bool(names)

    def _value_for(self, name: str) -> Any:
        world = self.other
        uuids = {"projects": world.project.uuid, "uuid": world.project.uuid}
        objects: dict[str, Any] = {
            "organisation": world.organisation.pk,
            "project": world.project.pk,
            "environment": world.a.pk,
            "environment_id": world.a.pk,
            "environments": world.a.pk,
            "feature": world.feature["id"],
            "feature_id": world.feature["id"],
            "segment": world.segment["id"],
            "segment_id": world.segment["id"],
            "identity": world.identity["id"],
            "user": world.user.pk,
            "owners": world.user.pk,
            "tags": world.tag["id"],
            **uuids,
        }
        return objects.get(name) or self.chance.choice(self.numbers)


def _objects(body: Any) -> Iterator[dict[str, Any]]:
    if isinstance(body, dict):
        yield body
    for part in body.values() if isinstance(body, dict) else body if isinstance(body, list) else ():
        yield from _objects(part)
