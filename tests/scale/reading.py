"""Everything that can be read, as a list of calls."""

from collections.abc import Iterator
from dataclasses import dataclass

from permissions.rule import NOBODY
from tests.hostile.routes import Route
from tests.hostile.test_routes import key_of
from tests.hostile.whole_world import WholeWorld
from tests.permissions import calls


@dataclass(frozen=True)
class Reading:
    says: str
    path: str
    headers: dict[str, str]


def readings(world: WholeWorld, routes: list[Route]) -> Iterator[Reading]:
    """A GET of every route that has one, and the lists of features in their costlier forms."""
    for route in routes:
        if "GET" in route.methods and calls.rule("GET", route) is not NOBODY:
            call = next(calls.call("GET", route, world))
            yield Reading(f"GET {route.path.removeprefix('api/v1/')}", call.path, headers(route, world))
    admin = {"Authorization": world.admin._credentials["HTTP_AUTHORIZATION"]}
    for says, query in (
        ("with states", f"environment={world.a.pk}"),
        ("with states and a segment's", f"environment={world.a.pk}&segment={world.segment['id']}"),
        ("with states, 10 of them", f"environment={world.a.pk}&page_size=10"),
        ("searched by value", f"environment={world.a.pk}&value_search=e"),
    ):
        yield Reading(f"GET features {says}", f"/api/v1/projects/{world.project.pk}/features/?{query}", admin)


def headers(route: Route, world: WholeWorld) -> dict[str, str]:
    match key_of(route):
        case "user":
            return {"Authorization": world.admin._credentials["HTTP_AUTHORIZATION"]}
        case "server":
            return {"X-Environment-Key": world.server_key["key"]}
    return {"X-Environment-Key": world.a.api_key}
