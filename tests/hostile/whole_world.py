"""A tenant that has one of everything, for tests that call every end point about the same objects."""

from functools import cached_property
from typing import Any

from environments.models import Environment
from projects.models import Project
from tests.conftest import make_organisation, signed_in
from tests.hostile.routes import Route
from tests.hostile.test_routes import arguments
from tests.hostile.world import WorldInProcess
from tests.permissions.calls import end_points
from tests.triggers.world import rules
from users.models import FFAdminUser


class WholeWorld(WorldInProcess):
    """No two of its objects are in each other's way."""

    @cached_property
    def feature_segment(self) -> Any:
        third = self.call("POST", self.segments, {"name": "third", "rules": rules("third")})
        body = {"feature": self.feature["id"], "segment": third["id"], "environment": self.a.pk}
        return self.call("POST", "features/feature-segments/", body)


def make_world(name: str, routes: list[Route]) -> WholeWorld:
    """Everything that the routes' paths and bodies ask for exists afterwards. ``name`` is nowhere but in an e-mail."""
    user = FFAdminUser.objects.create_user(f"{name}@example.com", "pa55-word-1", first_name="Ada", last_name="Admin")
    organisation = make_organisation("Acme", user)
    project = Project.objects.create(name="Web", organisation=organisation, enable_realtime_updates=True)
    a, b = (Environment.objects.create(name=each, project=project) for each in ("Development", "Production"))
    world = WholeWorld(user, signed_in(user), organisation, project, a, b)
    assert world.bare_feature
    assert world.server_key
    for route in routes:
        arguments(route, world)
    for end_point in end_points():
        end_point.path(world)
        end_point.body(world)
    return world
