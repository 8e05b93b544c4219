"""Whatever is read or made takes as many queries in a large project as in a small one. benchmarks/scale.py measures
the times."""

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
from tests.scale.reading import Reading, readings
from tests.support.heard import listening

# Real commits: in a test's own transaction an announcement that waits already would spare the next its queries.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

ROUTES = routes.api()


@pytest.fixture
def world() -> WholeWorld:
    world = make_world("owner", ROUTES)
    world.project.enable_realtime_updates = True
    world.project.save()
    return world


@pytest.fixture
def committed(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """An item for each commit, from now on."""
    made: list[None] = []
    commit = connection.commit

    def counted() -> None:
        made.append(None)
        commit()

    monkeypatch.setattr(connections[DEFAULT_DB_ALIAS], "commit", counted)
    return made


def queries(call: Callable[[], Any]) -> list[str]:
    """What a call, which must succeed, asks of the database."""
    cache.clear()
    with CaptureQueriesContext(connection) as captured:
        answer = call()
    assert answer.status_code < 300, answer.content
    return [query["sql"] for query in captured.captured_queries]


def read(reading: Reading) -> list[str]:
    def fetch() -> Any:
        return APIClient().generic("GET", reading.path, headers=reading.headers)

    # What is kept in memory by an environment's revision is there by then.
    fetch()
    return queries(fetch)


def test_reading__larger_project__no_more_queries(world: WholeWorld) -> None:
    everything = list(readings(world, ROUTES))
    # Some queries are for what there is none of in a small one.
    grow(world.a, SMALL)
    before = {reading.says: read(reading) for reading in everything}
    grow(world.a, SMALL)
    grown = {}
    for reading in everything:
        after = read(reading)
        if len(after) > len(before[reading.says]):
            grown[reading.says] = f"{len(before[reading.says])} became {len(after)}: {after}"
    assert not grown, "\n".join(f"{says}: {what}" for says, what in grown.items())


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
    # What comes first pays for what is kept in memory from then on.
    for create in creations(world, "warm").values():
        create()
    small = {what: len(queries(create)) for what, create in creations(world, "small").items()}
    grow(world.a, SMALL)
    present = list(world.project.environments.all())
    large, events, commits = {}, {}, {}
    for what, create in creations(world, "large").items():
        made_before = len(committed)
        with listening(*present) as heard:
            large[what] = len(queries(create))
        events[what] = {len(heard.of(environment)) for environment in present}
        commits[what] = len(committed) - made_before
    assert large == small
    assert commits == dict.fromkeys(large, 1)
    # A new environment changes nothing in the others; features and segments stand in each environment's document.
    assert events == {"feature": {1}, "environment": {0}, "clone": {0}, "segment": {1}}
    made = Environment.objects.get(project=world.project, name="large")
    assert FeatureState.objects.filter(environment=made).count() == world.project.features.count()
