"""Fixtures for tests of change requests: request factories, members with permissions, event listeners, schedulers."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from features.workflows.core.scheduler import Scheduler
from organisations.models import Organisation, OrganisationRole, UserOrganisation
from segments.models import Segment
from tests.support.events import Recorder
from tests.support.patience import PATIENCE
from users.models import FFAdminUser

REQUESTS = "/api/v1/features/workflows/change-requests/"

Body = dict[str, Any]


def text(value: str | None) -> Body:
    """The columns of a text value."""
    return {"type": "unicode", "string_value": value, "integer_value": None, "boolean_value": None}


def in_a(**duration: float) -> str:
    """The time after this duration from now, in ISO 8601."""
    return (timezone.now() + timedelta(**duration)).isoformat()


def client_of(user: FFAdminUser) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.get_or_create(user=user)[0].key}")
    return client


@pytest.fixture
def creation(environment: Environment) -> str:
    return f"/api/v1/environments/{environment.api_key}/create-change-request/"


@pytest.fixture
def listing(environment: Environment) -> str:
    return f"/api/v1/environments/{environment.api_key}/list-change-requests/"


@pytest.fixture
def propose(admin: APIClient, creation: str, feature: Feature) -> Callable[..., Body]:
    """Create a change request as admin. Without ``feature_states`` it enables ``feature`` with the value "new"."""

    def make(*feature_states: Body, **body: Any) -> Body:
        states = list(feature_states) or [
            {"feature": feature.pk, "enabled": True, "feature_state_value": text("new"), "live_from": None}
        ]
        answer = admin.post(creation, {"title": "Turn it on", "feature_states": states, **body}, "json")
        assert answer.status_code == 201, answer.content
        created: Body = answer.json()
        return created

    return make


@pytest.fixture
def schedule(admin: APIClient, feature: Feature, propose: Callable[..., Body]) -> Callable[..., Body]:
    """Create and commit a change request that enables features at ``live_from``; return the commit's response."""

    def make(live_from: str, *features: Feature) -> Body:
        states = [
            {"feature": each.pk, "enabled": True, "feature_state_value": text("new"), "live_from": live_from}
            for each in features or (feature,)
        ]
        created = propose(*states)
        answer = admin.post(f"{REQUESTS}{created['id']}/commit/")
        assert answer.status_code == 200, answer.content
        committed: Body = answer.json()
        return committed

    return make


@pytest.fixture
def make_member(organisation: Organisation, environment: Environment) -> Callable[..., APIClient]:
    """Create a client of a member with VIEW_ENVIRONMENT and these permissions in the environment."""

    def make(name: str, *keys: str) -> APIClient:
        user = FFAdminUser.objects.create_user(f"{name}@example.com", "pa55-word-1", first_name=name, last_name="M")
        UserOrganisation.objects.create(user=user, organisation=organisation, role=OrganisationRole.USER)
        environment.project.userpermission.create(user=user).permissions.add("VIEW_PROJECT")
        environment.userpermission.create(user=user).permissions.add("VIEW_ENVIRONMENT", *keys)
        return client_of(user)

    return make


@pytest.fixture
def approver(make_member: Callable[..., APIClient]) -> APIClient:
    return make_member("approver", "APPROVE_CHANGE_REQUEST")


@pytest.fixture
def override(environment: Environment, feature: Feature, segment: Segment) -> FeatureSegment:
    """An override of ``feature`` for ``segment`` in ``environment``: enabled, with the value "segment's"."""
    feature_segment = FeatureSegment.objects.create(feature=feature, environment=environment, segment=segment)
    state = FeatureState.objects.create(
        feature=feature, environment=environment, feature_segment=feature_segment, enabled=True
    )
    FeatureStateValue.objects.create(feature_state=state, string_value="segment's")
    return feature_segment


@pytest.fixture
def flags(environment: Environment) -> Callable[[], dict[str, tuple[bool, Any]]]:
    """Read the SDK API's ``flags/``: (enabled, value) by feature name."""

    def read() -> dict[str, tuple[bool, Any]]:
        answer = APIClient().get("/api/v1/flags/", headers={"X-Environment-Key": environment.api_key})
        assert answer.status_code == 200, answer.content
        return {flag["feature"]["name"]: (flag["enabled"], flag["feature_state_value"]) for flag in answer.json()}

    return read


class EventListener(Recorder):
    """Records events with their times and the results of ``on_event``, which is called in the sending thread."""

    def __init__(self, key: str, on_event: Callable[[], Any]) -> None:
        super().__init__([key])
        self.condition = threading.Condition()
        self.on_event = on_event
        self.results: list[Any] = []
        self.times: list[datetime] = []

    def wake_threadsafe(self) -> None:
        super().wake_threadsafe()
        with self.condition:
            self.times.append(timezone.now())
            self.results.append(self.on_event())
            self.condition.notify_all()

    def wait(self, number: int = 1) -> None:
        """Wait until this number of events was received in total."""
        with self.condition:
            if not self.condition.wait_for(lambda: len(self.results) >= number, PATIENCE):
                raise TimeoutError(f"{len(self.seen)} events in {PATIENCE} s, not {number}")


@pytest.fixture
def listen(environment: Environment) -> Iterator[Callable[..., EventListener]]:
    """Start an event listener of the environment, with an optional ``on_event`` callback."""
    from django_eventstream.views import get_listener_manager

    listeners: list[EventListener] = []

    def start(on_event: Callable[[], Any] = lambda: None) -> EventListener:
        listeners.append(EventListener(environment.api_key, on_event))
        get_listener_manager().add_listener(listeners[-1])
        return listeners[-1]

    yield start
    for each in listeners:
        get_listener_manager().remove_listener(each)


@contextmanager
def running_scheduler() -> Iterator[Scheduler]:
    """A scheduler in its own thread, which ends with the context."""
    scheduler = Scheduler()
    scheduler.start()
    try:
        yield scheduler
    finally:
        assert scheduler.stop(PATIENCE)


@pytest.fixture
def scheduler(transactional_db: None) -> Iterator[Scheduler]:
    with running_scheduler() as scheduler:
        yield scheduler
