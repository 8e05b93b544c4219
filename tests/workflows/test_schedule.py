"""Scheduled change requests, with a scheduler in a thread of this process."""

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
from tests.workflows.conftest import REQUESTS, Ear, in_a, running, text

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

OFF, ON = (False, None), (True, "new")


@dataclass(frozen=True)
class Desk:
    """Where change requests of ``environment`` are made, and where it is seen what becomes of them."""

    admin: APIClient
    environment: Environment
    feature: Feature
    """"banner": off, without a value. A request that names no feature turns it on, with the value "new"."""
    make_feature: Callable[..., Feature]
    propose: Callable[..., dict[str, Any]]
    schedule: Callable[..., dict[str, Any]]
    flags: Callable[[], dict[str, Any]]
    """What SDKs read."""
    ear: Callable[..., Ear]

    def listen(self) -> Ear:
        """Hear the environment's events, and read ``flags`` at each."""
        return self.ear(self.flags)

    def delete(self, request: dict[str, Any]) -> int:
        """The status of the answer."""
        status: int = self.admin.delete(f"{REQUESTS}{request['id']}/").status_code
        return status


@pytest.fixture
def desk(
    admin: APIClient,
    environment: Environment,
    feature: Feature,
    make_feature: Callable[..., Feature],
    propose: Callable[..., dict[str, Any]],
    schedule: Callable[..., dict[str, Any]],
    flags: Callable[[], dict[str, Any]],
    ear: Callable[..., Ear],
) -> Desk:
    return Desk(admin, environment, feature, make_feature, propose, schedule, flags, ear)


def set_time(pk: int, moment: datetime, *features: Feature) -> None:
    """Let a committed request change these features, or all of its own, at this moment.

    Tests commit what is due in a day, and then set the time: so no commit comes after it, however long it takes.
    """
    which = {"feature_id__in": [feature.pk for feature in features]} if features else {}
    with transaction.atomic():
        ChangeRequest.objects.filter(pk=pk).update(due_at=moment)
        PlannedChange.objects.filter(change_request=pk, **which).update(live_from=moment)
        FeatureState.objects.filter(change_request=pk, **which).update(live_from=moment)


def make_due(*pks: int) -> None:
    """As if nobody had seen to these requests for an hour."""
    for number, pk in enumerate(pks):
        set_time(pk, timezone.now() - timedelta(hours=1) + timedelta(seconds=number))


def run_until_heard(listener: Ear, number: int = 1) -> None:
    """Run a scheduler until so many events have come."""
    with running():
        listener.wait(number)


def test_live_from__reached__event_and_served_at_that_moment(scheduler: Scheduler, desk: Desk) -> None:
    listener = desk.listen()
    assert desk.flags() == {"banner": OFF}
    made = desk.schedule(in_a(days=1))
    assert desk.flags() == {"banner": OFF}
    live_from = timezone.now() + timedelta(seconds=1)
    set_time(made["id"], live_from)
    listener.wait()
    assert listener.seen == [{"banner": ON}]
    assert live_from <= listener.times[0] < live_from + timedelta(seconds=PATIENCE)
    (updated_at,) = listener.of(desk.environment)
    desk.environment.refresh_from_db()
    assert desk.environment.updated_at == updated_at
    live = FeatureState.objects.get(environment=desk.environment, feature=desk.feature)
    assert (live.pk, live.version, live.live_from) == (made["feature_states"][0]["id"], 2, live_from)
    request = ChangeRequest.objects.get(pk=made["id"])
    assert (request.due_at, request.failed_at) == (None, None)
    assert request.applied_at is not None


def test_several_states__of_one_time__live_together_with_one_event(scheduler: Scheduler, desk: Desk) -> None:
    second, marker = desk.make_feature("second"), desk.make_feature("marker")
    listener = desk.listen()
    both, later = desk.schedule(in_a(days=1), desk.feature, second), desk.schedule(in_a(days=1), marker)
    now = timezone.now()
    set_time(both["id"], now + timedelta(seconds=0.3))
    set_time(later["id"], now + timedelta(seconds=0.5))
    listener.wait(2)
    assert listener.seen == [
        {"banner": ON, "second": ON, "marker": OFF},
        {"banner": ON, "second": ON, "marker": ON},
    ]


def test_states__of_two_times_in_one_request__live_one_after_the_other(scheduler: Scheduler, desk: Desk) -> None:
    second, third = desk.make_feature("second"), desk.make_feature("third")
    listener = desk.listen()
    made = desk.propose(
        {"feature": desk.feature.pk, "enabled": True, "live_from": in_a(days=2)},
        {"feature": second.pk, "enabled": True, "live_from": (first_time := in_a(days=1))},
        {"feature": third.pk, "enabled": True},
    )
    assert desk.admin.post(f"{REQUESTS}{made['id']}/commit/").status_code == 200
    assert desk.delete(made) == 400
    assert ChangeRequest.objects.get(pk=made["id"]).due_at == datetime.fromisoformat(first_time)
    set_time(made["id"], timezone.now() + timedelta(seconds=0.3), second)
    listener.wait(2)
    set_time(made["id"], timezone.now() + timedelta(seconds=0.3), desk.feature)
    listener.wait(3)
    assert [sorted(name for name, (on, _) in seen.items() if on) for seen in listener.seen] == [
        ["third"],
        ["second", "third"],
        ["banner", "second", "third"],
    ]


def test_scheduler__that_would_wait_long__is_woken_by_what_is_committed_here(
    monkeypatch: pytest.MonkeyPatch, desk: Desk
) -> None:
    monkeypatch.setattr(scheduling, "POLL_SECONDS", 3600.0)
    listener = desk.listen()
    with running():
        desk.schedule(in_a(days=1), desk.make_feature("later"))
        desk.schedule(in_a(seconds=0.5))
        listener.wait()


def test_scheduler__request_committed_by_another_process__seen_to(scheduler: Scheduler, desk: Desk) -> None:
    desk.make_feature("second")
    listener = desk.listen()
    seeding.scheduled(desk.environment, [timezone.now() + timedelta(seconds=0.3)])
    listener.wait()


def test_request__deleted_before_its_time__never_applies(scheduler: Scheduler, desk: Desk) -> None:
    marker = desk.make_feature("marker")
    listener = desk.listen()
    made = desk.schedule(in_a(days=1))
    assert desk.delete(made) == 204
    later = desk.schedule(in_a(days=1), marker)
    make_due(made["id"], later["id"])
    listener.wait()
    assert listener.seen == [{"banner": OFF, "marker": ON}]


def test_feature__deleted_before_the_time__nothing_half_applied_and_the_failure_recorded(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    second, marker = desk.make_feature("second"), desk.make_feature("marker")
    failing = desk.schedule(in_a(days=1), desk.feature, second)
    good = desk.schedule(in_a(days=1), marker)
    desk.admin.delete(f"/api/v1/projects/{desk.environment.project_id}/features/{desk.feature.pk}/")
    make_due(failing["id"], good["id"])
    listener = desk.listen()
    run_until_heard(listener)
    assert listener.seen == [{"second": OFF, "marker": ON}]
    request = ChangeRequest.objects.get(pk=failing["id"])
    reason = "The feature banner no longer exists."
    assert (request.failure, request.due_at, request.applied_at) == (reason, None, None)
    assert request.failed_at is not None
    said = [record for record in caplog.records if "change_request_failed" in record.getMessage()]
    assert len(said) == 1
    entry = AuditLog.objects.filter(related_object_type="CHANGE_REQUEST", related_object_id=request.pk).latest("pk")
    assert entry.log == f"Change Request: Turn it on could not go live: {reason}"
    assert (entry.author, entry.is_system_event) == (None, True)
    assert desk.delete(failing) == 204


def test_log__of_a_scheduled_change__names_the_request(desk: Desk) -> None:
    made = desk.schedule(in_a(days=1))
    make_due(made["id"])
    run_until_heard(desk.listen())
    entry = AuditLog.objects.get(related_object_type="FEATURE_STATE", is_system_event=True)
    assert entry.author is None
    assert entry.related_object_id == made["feature_states"][0]["id"]
    assert entry.log == (
        "Scheduled change to Flag state / Remote config value went live for feature: banner "
        "by Change Request: Turn it on"
    )


def test_requests__that_came_due_while_nothing_ran__applied_at_the_start_in_their_order(desk: Desk) -> None:
    later = desk.schedule(in_a(days=1))["id"]
    old = {"feature": desk.feature.pk, "enabled": False, "feature_state_value": text("old")}
    sooner = desk.propose({**old, "live_from": in_a(hours=1)})["id"]
    desk.admin.post(f"{REQUESTS}{sooner}/commit/")
    make_due(sooner, later)
    listener = desk.listen()
    run_until_heard(listener, 2)
    assert listener.seen == [{"banner": (False, "old")}, {"banner": ON}]


def test_request__that_cannot_be_applied_for_another_reason__set_aside(
    monkeypatch: pytest.MonkeyPatch, desk: Desk
) -> None:
    bad, good = desk.schedule(in_a(days=1))["id"], desk.schedule(in_a(days=1), desk.make_feature("good"))["id"]
    make_due(bad, good)
    publish = scheduling.publish

    def failing(request: ChangeRequest, *args: Any) -> None:
        publish(request, *args)
        if request.pk == bad:
            raise RuntimeError("a fault")

    monkeypatch.setattr(scheduling, "publish", failing)
    run_until_heard(desk.listen())
    request = ChangeRequest.objects.get(pk=bad)
    assert (request.failure, request.due_at) == ("It could not be applied: RuntimeError.", None)
    assert FeatureState.objects.filter(change_request=bad, version=None).count() == 1
    assert FeatureState.objects.filter(change_request=good, version=2).count() == 1


def test_database__away_for_a_while__logged_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    made = desk.schedule(in_a(days=1))
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
    listener = desk.listen()
    run_until_heard(listener)
    said = [record.getMessage() for record in caplog.records]
    assert sum("scheduler_failing" in each for each in said) == 1
    assert FeatureState.objects.filter(change_request=made["id"], version=2).count() == 1
    assert len(listener.seen) == 1
