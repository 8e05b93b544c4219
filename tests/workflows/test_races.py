"""Concurrent use of one change request by API requests and schedulers."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureState
from features.workflows.core import scheduler
from tests.support.events import recorded_events
from tests.support.patience import PATIENCE
from tests.workflows.conftest import REQUESTS, in_a, running_scheduler
from tests.workflows.test_schedule import make_due

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def concurrently(calls: list[Callable[[], Any]]) -> list[Any]:
    """Make these calls concurrently, each in its own thread; return their results."""
    start = threading.Barrier(len(calls))

    def make(call: Callable[[], Any]) -> Any:
        try:
            start.wait()
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(make, calls))


def test_commit__four_concurrent_requests__one_commits(
    propose: Callable[..., Any], admin: APIClient, environment: Environment, feature: Feature
) -> None:
    path = f"{REQUESTS}{propose()['id']}/commit/"
    with recorded_events(environment) as events:
        answers = concurrently([lambda: admin.post(path).status_code for _ in range(4)])
        assert len(events.of(environment)) == 1
    assert sorted(answers) == [200, 400, 400, 400]
    assert FeatureState.objects.get(environment=environment, feature=feature).version == 2


@pytest.mark.slow
def test_delete__while_schedulers_publish__either_deleted_or_live(
    monkeypatch: pytest.MonkeyPatch,
    admin: APIClient,
    schedule: Callable[..., Any],
    make_feature: Callable[..., Feature],
    environment: Environment,
) -> None:
    features = [make_feature(f"f{number}") for number in range(10)]
    requests = [schedule(in_a(days=1), feature)["id"] for feature in features]
    make_due(*requests)
    # Deletes in reverse order, as soon as the schedulers have published the first request.
    published = threading.Event()
    publish = scheduler.publish

    def publish_and_notify(*args: Any) -> None:
        publish(*args)
        published.set()

    monkeypatch.setattr(scheduler, "publish", publish_and_notify)
    with recorded_events(environment) as events, running_scheduler(), running_scheduler():
        assert published.wait(PATIENCE)
        statuses = {pk: admin.delete(f"{REQUESTS}{pk}/").status_code for pk in reversed(requests)}
    live = [statuses[pk] == 400 for pk in requests]
    assert set(statuses.values()) <= {204, 400}
    for feature, is_live in zip(features, live, strict=True):
        state = FeatureState.objects.get(environment=environment, feature=feature)
        assert (state.enabled, state.version) == ((True, 2) if is_live else (False, 1))
    assert len(events.of(environment)) == sum(live)


def test_publish_next__two_concurrent_calls__each_request_published_once(
    schedule: Callable[..., Any], make_feature: Callable[..., Feature]
) -> None:
    requests = [schedule(in_a(days=1), make_feature(name))["id"] for name in ("one", "two")]
    make_due(*requests)
    assert concurrently([scheduler.publish_next, scheduler.publish_next]) == [True, True]
    assert scheduler.publish_next() is False
    assert FeatureState.objects.filter(change_request__in=requests, version=2).count() == 2
