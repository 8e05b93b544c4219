"""A tenant with an object of each kind, for tests that call all endpoints."""

from functools import cached_property
from typing import Any

from environments.models import Environment
from projects.models import Project
from tests.conftest import make_organisation, signed_in
from tests.hostile.endpoints import END_POINTS
from tests.hostile.routes import Route
from tests.hostile.test_routes import arguments
from tests.operations.objects import SEGMENTS, rules
from tests.operations.world import WorldInProcess
from users.models import FFAdminUser


class WholeWorld(WorldInProcess):
    """A world in which ``feature_segment`` has a segment of its own, so that it can exist beside ``override``."""

    @cached_property
    def feature_segment(self) -> Any:
        third = self.call("POST", SEGMENTS, {"name": "third", "rules": rules("third")})
        body = {"feature": "{feature}", "segment": third["id"], "environment": "{a.pk}"}
        return self.call("POST", "features/feature-segments/", body)


def make_world(name: str, routes: list[Route]) -> WholeWorld:
    """Create all objects that paths and bodies of the routes refer to. ``name`` is used in the e-mail address only."""
    user = FFAdminUser.objects.create_user(f"{name}@example.com", "pa55-word-1", first_name="Ada", last_name="Admin")
    organisation = make_organisation("Acme", user)
    project = Project.objects.create(name="Web", organisation=organisation, enable_realtime_updates=True)
    a, b = (Environment.objects.create(name=each, project=project) for each in ("Development", "Production"))
    world = WholeWorld(user, signed_in(user), organisation, project, a, b)
    assert world.bare_feature
    assert world.server_key
    for route in routes:
        arguments(route, world)
    for end_point in END_POINTS:
        end_point.url(world)
        end_point.body(world)
    return world
