"""Scheduled change requests, with the scheduler in a thread of this process."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from audit.models import AuditLog
from environments.models import Environment
from features.models import Feature, FeatureState
from features.workflows.core import scheduler as scheduling
from features.workflows.core.models import ChangeRequest, PlannedChange
from features.workflows.core.scheduler import Scheduler
from tests.support.patience import PATIENCE
from tests.workflows import seeding
from tests.workflows.conftest import REQUESTS, EventListener, in_a, running_scheduler, text

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

OFF, ON = (False, None), (True, "new")


@dataclass(frozen=True)
class Context:
    """Creates change requests of ``environment`` and observes their publication."""

    admin: APIClient
    environment: Environment
    feature: Feature
    """"banner": disabled, without a value. By default a request enables it with the value "new"."""
    make_feature: Callable[..., Feature]
    propose: Callable[..., dict[str, Any]]
    schedule: Callable[..., dict[str, Any]]
    flags: Callable[[], dict[str, Any]]
    """Reads the flags of the SDK API."""
    start_listener: Callable[..., EventListener]

    def listen(self) -> EventListener:
        """Start a listener that reads ``flags`` at each event."""
        return self.start_listener(self.flags)

    def delete(self, request: dict[str, Any]) -> int:
        """Delete a change request; return the response's status."""
        status: int = self.admin.delete(f"{REQUESTS}{request['id']}/").status_code
        return status


@pytest.fixture
def context(
    admin: APIClient,
    environment: Environment,
    feature: Feature,
    make_feature: Callable[..., Feature],
    propose: Callable[..., dict[str, Any]],
    schedule: Callable[..., dict[str, Any]],
    flags: Callable[[], dict[str, Any]],
    listen: Callable[..., EventListener],
) -> Context:
    return Context(admin, environment, feature, make_feature, propose, schedule, flags, listen)


def set_time(pk: int, time: datetime, *features: Feature) -> None:
    """Set the time at which these features of a committed request, or all of them, go live.

    Tests commit requests that are due in a day and set the time then, so a slow commit cannot miss it.
    """
    filters = {"feature_id__in": [feature.pk for feature in features]} if features else {}
    with transaction.atomic():
        ChangeRequest.objects.filter(pk=pk).update(due_at=time)
        PlannedChange.objects.filter(change_request=pk, **filters).update(live_from=time)
        FeatureState.objects.filter(change_request=pk, **filters).update(live_from=time)


def make_due(*pks: int) -> None:
    """Make these requests due since an hour, in this order."""
    for number, pk in enumerate(pks):
        set_time(pk, timezone.now() - timedelta(hours=1) + timedelta(seconds=number))


def run_until_event(listener: EventListener, number: int = 1) -> None:
    """Run a scheduler until the listener has this number of events."""
    with running_scheduler():
        listener.wait(number)


def test_live_from__reached__event_and_served(scheduler: Scheduler, context: Context) -> None:
    listener = context.listen()
    assert context.flags() == {"banner": OFF}
    created = context.schedule(in_a(days=1))
    assert context.flags() == {"banner": OFF}
    live_from = timezone.now() + timedelta(seconds=1)
    set_time(created["id"], live_from)
    listener.wait()
    assert listener.results == [{"banner": ON}]
    assert live_from <= listener.times[0] < live_from + timedelta(seconds=PATIENCE)
    (updated_at,) = listener.of(context.environment)
    context.environment.refresh_from_db()
    assert context.environment.updated_at == updated_at
    live = FeatureState.objects.get(environment=context.environment, feature=context.feature)
    assert (live.pk, live.version, live.live_from) == (created["feature_states"][0]["id"], 2, live_from)
    request = ChangeRequest.objects.get(pk=created["id"])
    assert (request.due_at, request.failed_at) == (None, None)
    assert request.applied_at is not None


def test_request__states_with_one_time__live_with_one_event(scheduler: Scheduler, context: Context) -> None:
    second, marker = context.make_feature("second"), context.make_feature("marker")
    listener = context.listen()
    both, later = context.schedule(in_a(days=1), context.feature, second), context.schedule(in_a(days=1), marker)
    now = timezone.now()
    set_time(both["id"], now + timedelta(seconds=0.3))
    set_time(later["id"], now + timedelta(seconds=0.5))
    listener.wait(2)
    assert listener.results == [
        {"banner": ON, "second": ON, "marker": OFF},
        {"banner": ON, "second": ON, "marker": ON},
    ]


def test_request__states_with_two_times__live_one_after_the_other(scheduler: Scheduler, context: Context) -> None:
    second, third = context.make_feature("second"), context.make_feature("third")
    listener = context.listen()
    created = context.propose(
        {"feature": context.feature.pk, "enabled": True, "live_from": in_a(days=2)},
        {"feature": second.pk, "enabled": True, "live_from": (first_time := in_a(days=1))},
        {"feature": third.pk, "enabled": True},
    )
    assert context.admin.post(f"{REQUESTS}{created['id']}/commit/").status_code == 200
    assert context.delete(created) == 400
    assert ChangeRequest.objects.get(pk=created["id"]).due_at == datetime.fromisoformat(first_time)
    set_time(created["id"], timezone.now() + timedelta(seconds=0.3), second)
    listener.wait(2)
    set_time(created["id"], timezone.now() + timedelta(seconds=0.3), context.feature)
    listener.wait(3)
    assert [sorted(name for name, (on, _) in results.items() if on) for results in listener.results] == [
        ["third"],
        ["second", "third"],
        ["banner", "second", "third"],
    ]


def test_scheduler__commit_in_the_same_process__woken_up(monkeypatch: pytest.MonkeyPatch, context: Context) -> None:
    monkeypatch.setattr(scheduling, "POLL_SECONDS", 3600.0)
    listener = context.listen()
    with running_scheduler():
        context.schedule(in_a(days=1), context.make_feature("later"))
        context.schedule(in_a(seconds=0.5))
        listener.wait()


def test_scheduler__commit_in_another_process__published(scheduler: Scheduler, context: Context) -> None:
    context.make_feature("second")
    listener = context.listen()
    seeding.schedule_requests(context.environment, [timezone.now() + timedelta(seconds=0.3)])
    listener.wait()


def test_request__deleted_before_its_time__not_published(scheduler: Scheduler, context: Context) -> None:
    marker = context.make_feature("marker")
    listener = context.listen()
    created = context.schedule(in_a(days=1))
    assert context.delete(created) == 204
    later = context.schedule(in_a(days=1), marker)
    make_due(created["id"], later["id"])
    listener.wait()
    assert listener.results == [{"banner": OFF, "marker": ON}]


def test_request__feature_deleted_before_its_time__fails_completely_and_is_recorded(
    context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    second, marker = context.make_feature("second"), context.make_feature("marker")
    failing = context.schedule(in_a(days=1), context.feature, second)
    valid = context.schedule(in_a(days=1), marker)
    context.admin.delete(f"/api/v1/projects/{context.environment.project_id}/features/{context.feature.pk}/")
    make_due(failing["id"], valid["id"])
    listener = context.listen()
    run_until_event(listener)
    assert listener.results == [{"second": OFF, "marker": ON}]
    request = ChangeRequest.objects.get(pk=failing["id"])
    reason = "The feature banner no longer exists."
    assert (request.failure, request.due_at, request.applied_at) == (reason, None, None)
    assert request.failed_at is not None
    messages = [record for record in caplog.records if "change_request_failed" in record.getMessage()]
    assert len(messages) == 1
    entry = AuditLog.objects.filter(related_object_type="CHANGE_REQUEST", related_object_id=request.pk).latest("pk")
    assert entry.log == f"Change Request: Turn it on could not go live: {reason}"
    assert (entry.author, entry.is_system_event) == (None, True)
    assert context.delete(failing) == 204


def test_audit_log__scheduled_change__names_the_request(context: Context) -> None:
    created = context.schedule(in_a(days=1))
    make_due(created["id"])
    run_until_event(context.listen())
    entry = AuditLog.objects.get(related_object_type="FEATURE_STATE", is_system_event=True)
    assert entry.author is None
    assert entry.related_object_id == created["feature_states"][0]["id"]
    assert entry.log == (
        "Scheduled change to Flag state / Remote config value went live for feature: banner "
        "by Change Request: Turn it on"
    )


def test_requests__due_while_no_scheduler_ran__published_at_the_start_in_order(context: Context) -> None:
    later = context.schedule(in_a(days=1))["id"]
    old = {"feature": context.feature.pk, "enabled": False, "feature_state_value": text("old")}
    sooner = context.propose({**old, "live_from": in_a(hours=1)})["id"]
    context.admin.post(f"{REQUESTS}{sooner}/commit/")
    make_due(sooner, later)
    listener = context.listen()
    run_until_event(listener, 2)
    assert listener.results == [{"banner": (False, "old")}, {"banner": ON}]


def test_request__unexpected_error__marked_as_failed_and_others_published(
    monkeypatch: pytest.MonkeyPatch, context: Context
) -> None:
    invalid, valid = (
        context.schedule(in_a(days=1))["id"],
        context.schedule(in_a(days=1), context.make_feature("good"))["id"],
    )
    make_due(invalid, valid)
    publish = scheduling.publish

    def failing(request: ChangeRequest, *args: Any) -> None:
        publish(request, *args)
        if request.pk == invalid:
            raise RuntimeError("a fault")

    monkeypatch.setattr(scheduling, "publish", failing)
    run_until_event(context.listen())
    request = ChangeRequest.objects.get(pk=invalid)
    assert (request.failure, request.due_at) == ("It could not be applied: RuntimeError.", None)
    assert FeatureState.objects.filter(change_request=invalid, version=None).count() == 1
    assert FeatureState.objects.filter(change_request=valid, version=2).count() == 1


def test_scheduler__database_errors__logged_once_and_retried(
    monkeypatch: pytest.MonkeyPatch, context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    created = context.schedule(in_a(days=1))
    make_due(created["id"])
    publish = scheduling.publish
    failures = iter(range(3))
    monkeypatch.setattr(scheduling, "FIRST_RETRY_SECONDS", 0.01)

    def failing(*args: Any) -> None:
        publish(*args)
        if next(failures, None) is not None:
            raise OperationalError("the connection is lost")

    monkeypatch.setattr(scheduling, "publish", failing)
    caplog.set_level("INFO")
    listener = context.listen()
    run_until_event(listener)
    messages = [record.getMessage() for record in caplog.records]
    assert sum("scheduler_failing" in each for each in messages) == 1
    assert FeatureState.objects.filter(change_request=created["id"], version=2).count() == 1
    assert len(listener.results) == 1
