"""Requests to the API and the scheduler that want the same change request at the same moment."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureState
from features.workflows.core import scheduler as scheduling
from tests.support.heard import listening
from tests.support.patience import PATIENCE
from tests.workflows.conftest import REQUESTS, in_a, running
from tests.workflows.test_schedule import make_due

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """Make these calls at the same moment, each in a thread of its own; what they return."""
    start = threading.Barrier(len(calls))

    def make(call: Callable[[], Any]) -> Any:
        try:
            start.wait()
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(make, calls))


def test_commit__by_four_at_once__one_commits(
    propose: Callable[..., Any], admin: APIClient, environment: Environment, feature: Feature
) -> None:
    path = f"{REQUESTS}{propose()['id']}/commit/"
    with listening(environment) as heard:
        answers = at_once([lambda: admin.post(path).status_code for _ in range(4)])
        assert len(heard.of(environment)) == 1
    assert sorted(answers) == [200, 400, 400, 400]
    assert FeatureState.objects.get(environment=environment, feature=feature).version == 2


def test_deletion__while_schedulers_apply__either_deleted_or_live(
    monkeypatch: pytest.MonkeyPatch,
    admin: APIClient,
    schedule: Callable[..., Any],
    make_feature: Callable[..., Feature],
    environment: Environment,
) -> None:
    features = [make_feature(f"f{number}") for number in range(10)]
    requests = [schedule(in_a(days=1), feature)["id"] for feature in features]
    make_due(*requests)
    # Deleted from the last one on, as soon as the schedulers have applied the first.
    applied = threading.Event()
    publish = scheduling.publish

    def publishing(*args: Any) -> None:
        publish(*args)
        applied.set()

    monkeypatch.setattr(scheduling, "publish", publishing)
    with listening(environment) as heard, running(), running():
        assert applied.wait(PATIENCE)
        statuses = {pk: admin.delete(f"{REQUESTS}{pk}/").status_code for pk in reversed(requests)}
    live = [statuses[pk] == 400 for pk in requests]
    assert set(statuses.values()) <= {204, 400}
    for feature, is_live in zip(features, live, strict=True):
        state = FeatureState.objects.get(environment=environment, feature=feature)
        assert (state.enabled, state.version) == ((True, 2) if is_live else (False, 1))
    assert len(heard.of(environment)) == sum(live)


def test_two_schedulers__at_once__each_request_applied_once(
    schedule: Callable[..., Any], make_feature: Callable[..., Feature]
) -> None:
    requests = [schedule(in_a(days=1), make_feature(name))["id"] for name in ("one", "two")]
    make_due(*requests)
    assert at_once([scheduling.publish_next, scheduling.publish_next]) == [True, True]
    assert scheduling.publish_next() is False
    assert FeatureState.objects.filter(change_request__in=requests, version=2).count() == 2
