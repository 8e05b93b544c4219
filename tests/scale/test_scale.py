"""The number of queries does not depend on the size of the project."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import FeatureState
from tests.hostile import routes
from tests.hostile.whole_world import WholeWorld, make_world
from tests.scale.growth import SMALL, grow
from tests.scale.read_requests import ReadRequest, read_requests
from tests.support.events import recorded_events

# Real commits: in a transaction of the test, all announcements would share the queries of one.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(600), pytest.mark.slow]

ROUTES = routes.api()


@pytest.fixture
def world() -> WholeWorld:
    world = make_world("owner", ROUTES)
    world.project.enable_realtime_updates = True
    world.project.save()
    return world


@pytest.fixture
def committed(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """A list that gets an item for each commit."""
    made: list[None] = []
    commit = connection.commit

    def counted() -> None:
        made.append(None)
        commit()

    monkeypatch.setattr(connections[DEFAULT_DB_ALIAS], "commit", counted)
    return made


def queries(call: Callable[[], Any]) -> list[str]:
    """The SQL of a call, which must succeed."""
    cache.clear()
    with CaptureQueriesContext(connection) as captured:
        answer = call()
    assert answer.status_code < 300, answer.content
    return [query["sql"] for query in captured.captured_queries]


def read(request: ReadRequest) -> list[str]:
    def fetch() -> Any:
        return APIClient().generic("GET", request.path, headers=request.headers)

    # Fill the caches.
    fetch()
    return queries(fetch)


def test_read__larger_project__no_more_queries(world: WholeWorld) -> None:
    everything = list(read_requests(world, ROUTES))
    # Some queries only run if there are rows.
    grow(world.a, SMALL)
    before = {request.name: read(request) for request in everything}
    grow(world.a, SMALL)
    grown = {}
    for request in everything:
        after = read(request)
        if len(after) > len(before[request.name]):
            grown[request.name] = f"{len(before[request.name])} became {len(after)}: {after}"
    assert not grown, "\n".join(f"{name}: {what}" for name, what in grown.items())


def creations(world: WholeWorld, name: str) -> dict[str, Callable[[], Any]]:
    def post(path: str, **body: Any) -> Any:
        return world.admin.post(f"/api/v1/{path}", {"name": name, **body}, "json")

    return {
        "feature": lambda: post(f"projects/{world.project.pk}/features/", initial_value="v"),
        "environment": lambda: post("environments/", project=world.project.pk),
        "clone": lambda: post(f"environments/{world.a.api_key}/clone/", name=f"{name} clone"),
        "segment": lambda: post(f"projects/{world.project.pk}/segments/", rules=world.segment["rules"]),
    }


def test_creation__larger_project__no_more_queries_one_transaction_one_event_each(
    world: WholeWorld, committed: list[None]
) -> None:
    # Fill the caches.
    for create in creations(world, "warm").values():
        create()
    small = {what: len(queries(create)) for what, create in creations(world, "small").items()}
    grow(world.a, SMALL)
    present = list(world.project.environments.all())
    large, events, commits = {}, {}, {}
    for what, create in creations(world, "large").items():
        made_before = len(committed)
        with recorded_events(*present) as recorded:
            large[what] = len(queries(create))
        events[what] = {len(recorded.of(environment)) for environment in present}
        commits[what] = len(committed) - made_before
    assert large == small
    assert commits == dict.fromkeys(large, 1)
    # A new environment does not change the others. Features and segments are part of all environments' documents.
    assert events == {"feature": {1}, "environment": {0}, "clone": {0}, "segment": {1}}
    made = Environment.objects.get(project=world.project, name="large")
    assert FeatureState.objects.filter(environment=made).count() == world.project.features.count()
