"""Scheduled change requests, with a scheduler in a thread of this process."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from rest_framework.test import APIClient

from audit.models import AuditLog
from environments.models import Environment
from features.models import Feature, FeatureState
from features.workflows.core import scheduler as scheduling
from features.workflows.core.models import ChangeRequest, PlannedChange
from features.workflows.core.scheduler import Scheduler
from tests.workflows import seeding
from tests.workflows.conftest import REQUESTS, Ear, in_a, running, text

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

Schedule = Callable[..., dict[str, Any]]


def make_due(*pks: int) -> None:
    """As if nobody had seen to these requests for an hour."""
    for number, pk in enumerate(pks):
        moment = timezone.now() - timedelta(hours=1) + timedelta(seconds=number)
        ChangeRequest.objects.filter(pk=pk).update(due_at=moment)
        PlannedChange.objects.filter(change_request=pk).update(live_from=moment)
        FeatureState.objects.filter(change_request=pk).update(live_from=moment)


def test_live_from__reached__event_and_served_at_that_moment(
    scheduler: Scheduler,
    schedule: Schedule,
    ear: Callable[..., Ear],
    flags: Callable[[], Any],
    environment: Environment,
    feature: Feature,
) -> None:
    listener = ear(flags)
    live_from = timezone.now() + timedelta(seconds=1)
    made = schedule(live_from.isoformat())
    assert flags() == {"banner": (False, None)}
    listener.wait()
    assert listener.seen == [{"banner": (True, "new")}]
    assert live_from <= listener.times[0] < live_from + timedelta(seconds=5)
    (updated_at,) = listener.of(environment)
    environment.refresh_from_db()
    assert environment.updated_at == updated_at
    live = FeatureState.objects.get(environment=environment, feature=feature)
    assert (live.pk, live.version, live.live_from) == (made["feature_states"][0]["id"], 2, live_from)
    request = ChangeRequest.objects.get(pk=made["id"])
    assert (request.due_at, request.failed_at) == (None, None)
    assert request.applied_at is not None


def test_several_states__of_one_time__live_together_with_one_event(
    scheduler: Scheduler,
    schedule: Schedule,
    ear: Callable[..., Ear],
    flags: Callable[[], Any],
    make_feature: Callable[..., Feature],
    feature: Feature,
) -> None:
    second, marker = make_feature("second"), make_feature("marker")
    listener = ear(flags)
    schedule(in_a(seconds=0.8), feature, second)
    schedule(in_a(seconds=1.0), marker)
    listener.wait(2)
    off, on = (False, None), (True, "new")
    assert listener.seen == [
        {"banner": on, "second": on, "marker": off},
        {"banner": on, "second": on, "marker": on},
    ]


def test_states__of_two_times_in_one_request__live_one_after_the_other(
    scheduler: Scheduler,
    admin: APIClient,
    propose: Schedule,
    ear: Callable[..., Ear],
    flags: Callable[[], Any],
    make_feature: Callable[..., Feature],
    feature: Feature,
) -> None:
    second, third = make_feature("second"), make_feature("third")
    listener = ear(flags)
    made = propose(
        {"feature": feature.pk, "enabled": True, "live_from": in_a(seconds=1.3)},
        {"feature": second.pk, "enabled": True, "live_from": in_a(seconds=1.0)},
        {"feature": third.pk, "enabled": True},
    )
    path = f"{REQUESTS}{made['id']}/"
    assert admin.post(f"{path}commit/").status_code == 200
    assert admin.delete(path).status_code == 400
    listener.wait(3)
    assert [sorted(name for name, (on, _) in seen.items() if on) for seen in listener.seen] == [
        ["third"],
        ["second", "third"],
        ["banner", "second", "third"],
    ]


def test_scheduler__that_would_wait_long__is_woken_by_what_is_committed_here(
    monkeypatch: pytest.MonkeyPatch, schedule: Schedule, ear: Callable[..., Ear], make_feature: Callable[..., Feature]
) -> None:
    monkeypatch.setattr(scheduling, "LOOK_SECONDS", 3600.0)
    listener = ear()
    with running():
        schedule(in_a(days=1), make_feature("later"))
        schedule(in_a(seconds=0.5))
        listener.wait()


def test_scheduler__request_committed_by_another_process__seen_to(
    scheduler: Scheduler, environment: Environment, ear: Callable[..., Ear], make_feature: Callable[..., Feature]
) -> None:
    make_feature("one")
    make_feature("two")
    listener = ear()
    seeding.scheduled(environment, [timezone.now() + timedelta(seconds=0.3)])
    listener.wait()


def test_request__deleted_before_its_time__never_applies(
    scheduler: Scheduler,
    admin: APIClient,
    schedule: Schedule,
    ear: Callable[..., Ear],
    flags: Callable[[], Any],
    make_feature: Callable[..., Feature],
    feature: Feature,
) -> None:
    marker = make_feature("marker")
    listener = ear(flags)
    made = schedule(in_a(seconds=1))
    assert admin.delete(f"{REQUESTS}{made['id']}/").status_code == 204
    schedule(in_a(seconds=1.1), marker)
    listener.wait()
    assert listener.seen == [{"banner": (False, None), "marker": (True, "new")}]


def test_feature__deleted_before_the_time__nothing_half_applied_and_the_failure_recorded(
    admin: APIClient,
    schedule: Schedule,
    ear: Callable[..., Ear],
    flags: Callable[[], Any],
    make_feature: Callable[..., Feature],
    environment: Environment,
    feature: Feature,
    caplog: pytest.LogCaptureFixture,
) -> None:
    second, marker = make_feature("second"), make_feature("marker")
    failing = schedule(in_a(days=1), feature, second)["id"]
    good = schedule(in_a(days=1), marker)["id"]
    admin.delete(f"/api/v1/projects/{environment.project_id}/features/{feature.pk}/")
    make_due(failing, good)
    listener = ear(flags)
    with running():
        listener.wait()
    assert listener.seen == [{"second": (False, None), "marker": (True, "new")}]
    request = ChangeRequest.objects.get(pk=failing)
    reason = "The feature banner no longer exists."
    assert (request.failure, request.due_at, request.applied_at) == (reason, None, None)
    assert request.failed_at is not None
    said = [record for record in caplog.records if "change_request_failed" in record.getMessage()]
    assert len(said) == 1
    entry = AuditLog.objects.filter(related_object_type="CHANGE_REQUEST", related_object_id=failing).latest("pk")
    assert entry.log == f"Change Request: Turn it on could not go live: {reason}"
    assert (entry.author, entry.is_system_event) == (None, True)
    assert admin.delete(f"{REQUESTS}{failing}/").status_code == 204


def test_log__of_a_scheduled_change__names_the_request(schedule: Schedule, ear: Callable[..., Ear]) -> None:
    made = schedule(in_a(days=1))
    make_due(made["id"])
    listener = ear()
    with running():
        listener.wait()
    entry = AuditLog.objects.get(related_object_type="FEATURE_STATE", is_system_event=True)
    assert entry.author is None
    assert entry.related_object_id == made["feature_states"][0]["id"]
    assert entry.log == (
        "Scheduled change to Flag state / Remote config value went live for feature: banner "
        "by Change Request: Turn it on"
    )


def test_requests__that_came_due_while_nothing_ran__applied_at_the_start_in_their_order(
    admin: APIClient,
    propose: Schedule,
    schedule: Schedule,
    ear: Callable[..., Ear],
    flags: Callable[[], Any],
    feature: Feature,
) -> None:
    later = schedule(in_a(days=1))["id"]
    state = {"feature": feature.pk, "enabled": False, "feature_state_value": text("old"), "live_from": in_a(hours=1)}
    sooner = propose(state)["id"]
    admin.post(f"{REQUESTS}{sooner}/commit/")
    make_due(sooner, later)
    listener = ear(flags)
    with running():
        listener.wait(2)
    assert listener.seen == [{"banner": (False, "old")}, {"banner": (True, "new")}]


def test_request__that_cannot_be_applied_for_another_reason__set_aside(
    monkeypatch: pytest.MonkeyPatch,
    schedule: Schedule,
    ear: Callable[..., Ear],
    make_feature: Callable[..., Feature],
) -> None:
    bad, good = schedule(in_a(days=1))["id"], schedule(in_a(days=1), make_feature("good"))["id"]
    make_due(bad, good)
    publish = scheduling.publish

    def failing(request: ChangeRequest, *args: Any) -> None:
        publish(request, *args)
        if request.pk == bad:
            raise RuntimeError("a fault")

    monkeypatch.setattr(scheduling, "publish", failing)
    listener = ear()
    with running():
        listener.wait()
    request = ChangeRequest.objects.get(pk=bad)
    assert (request.failure, request.due_at) == ("It could not be applied: RuntimeError.", None)
    assert FeatureState.objects.filter(change_request=bad, version=None).count() == 1
    assert FeatureState.objects.filter(change_request=good, version=2).count() == 1


def test_database__away_for_a_while__logged_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
    schedule: Schedule,
    ear: Callable[..., Ear],
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = schedule(in_a(days=1))
    make_due(made["id"])
    publish = scheduling.publish
    failures = iter(range(3))
    monkeypatch.setattr(scheduling, "FIRST_RETRY_SECONDS", 0.01)

    def failing(*args: Any) -> None:
        publish(*args)
        if next(failures, None) is not None:
            raise OperationalError("the connection is lost")

    monkeypatch.setattr(scheduling, "publish", failing)
    caplog.set_level("INFO")
    listener = ear()
    with running():
        listener.wait()
    said = [record.getMessage() for record in caplog.records]
    assert sum("scheduler_failing" in each for each in said) == 1
    assert FeatureState.objects.filter(change_request=made["id"], version=2).count() == 1
    assert len(listener.seen) == 1


def test_50_schedules__on_one_environment__live_within_a_second(
    scheduler: Scheduler, ear: Callable[..., Ear], environment: Environment, project: Any
) -> None:
    seeding.add_features(environment, 100)
    listener = ear()
    start = timezone.now() + timedelta(seconds=1)
    moments = [start + timedelta(milliseconds=100 * number) for number in range(50)]
    seeding.scheduled(environment, moments)
    listener.wait(50)
    late = sorted(at - due for at, due in zip(listener.times, moments, strict=True))
    assert late[0] >= timedelta(0)
    assert late[48] < timedelta(seconds=1), late
