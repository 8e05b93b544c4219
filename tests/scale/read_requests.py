"""GET requests of all endpoints."""

from collections.abc import Iterator
from dataclasses import dataclass

from permissions.rule import NOT_AVAILABLE
from tests.hostile.routes import Route
from tests.hostile.test_routes import key_of
from tests.hostile.whole_world import WholeWorld
from tests.permissions import calls


@dataclass(frozen=True)
class ReadRequest:
    name: str
    path: str
    headers: dict[str, str]


def read_requests(world: WholeWorld, routes: list[Route]) -> Iterator[ReadRequest]:
    """A GET of every route that has one, and expensive variants of the list of features."""
    for route in routes:
        if "GET" in route.methods and calls.rule("GET", route) is not NOT_AVAILABLE:
            call = next(calls.call("GET", route, world))
            yield ReadRequest(f"GET {route.path.removeprefix('api/v1/')}", call.path, headers(route, world))
    admin = {"Authorization": world.admin._credentials["HTTP_AUTHORIZATION"]}
    for name, query in (
        ("with states", f"environment={world.a.pk}"),
        ("with states and a segment's", f"environment={world.a.pk}&segment={world.segment['id']}"),
        ("with states, 10 of them", f"environment={world.a.pk}&page_size=10"),
        ("searched by value", f"environment={world.a.pk}&value_search=e"),
    ):
        yield ReadRequest(f"GET features {name}", f"/api/v1/projects/{world.project.pk}/features/?{query}", admin)


def headers(route: Route, world: WholeWorld) -> dict[str, str]:
    match key_of(route):
        case "user":
            return {"Authorization": world.admin._credentials["HTTP_AUTHORIZATION"]}
        case "server":
            return {"X-Environment-Key": world.server_key["key"]}
    return {"X-Environment-Key": world.a.api_key}
