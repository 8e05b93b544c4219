"""What the tests of change requests share: makers of them, people who approve them, and an ear for events."""

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
from tests.support.heard import Heard
from tests.support.patience import PATIENCE
from users.models import FFAdminUser

REQUESTS = "/api/v1/features/workflows/change-requests/"

Body = dict[str, Any]


def text(value: str | None) -> Body:
    """A text value in the object form, whole."""
    return {"type": "unicode", "string_value": value, "integer_value": None, "boolean_value": None}


def in_a(**duration: float) -> str:
    """A time from now on, as a client sends it."""
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
    """Make a change request by the admin: for ``feature``, on and "new", unless ``feature_states`` are given."""

    def make(*feature_states: Body, **body: Any) -> Body:
        states = list(feature_states) or [
            {"feature": feature.pk, "enabled": True, "feature_state_value": text("new"), "live_from": None}
        ]
        answer = admin.post(creation, {"title": "Turn it on", "feature_states": states, **body}, "json")
        assert answer.status_code == 201, answer.content
        made: Body = answer.json()
        return made

    return make


@pytest.fixture
def schedule(admin: APIClient, feature: Feature, propose: Callable[..., Body]) -> Callable[..., Body]:
    """Make and commit a change request that turns features on at this time; all that the commit answers."""

    def make(live_from: str, *features: Feature) -> Body:
        states = [
            {"feature": each.pk, "enabled": True, "feature_state_value": text("new"), "live_from": live_from}
            for each in features or (feature,)
        ]
        made = propose(*states)
        answer = admin.post(f"{REQUESTS}{made['id']}/commit/")
        assert answer.status_code == 200, answer.content
        committed: Body = answer.json()
        return committed

    return make


@pytest.fixture
def make_member(organisation: Organisation, environment: Environment) -> Callable[..., APIClient]:
    """A member of the organisation who sees the environment, and has these permissions there."""

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
    """``segment`` has ``feature`` on and "segment's" in ``environment``."""
    place = FeatureSegment.objects.create(feature=feature, environment=environment, segment=segment)
    state = FeatureState.objects.create(feature=feature, environment=environment, feature_segment=place, enabled=True)
    FeatureStateValue.objects.create(feature_state=state, string_value="segment's")
    return place


@pytest.fixture
def flags(environment: Environment) -> Callable[[], dict[str, tuple[bool, Any]]]:
    """What an SDK reads for everybody: feature name to (enabled, value)."""

    def read() -> dict[str, tuple[bool, Any]]:
        answer = APIClient().get("/api/v1/flags/", headers={"X-Environment-Key": environment.api_key})
        assert answer.status_code == 200, answer.content
        return {flag["feature"]["name"]: (flag["enabled"], flag["feature_state_value"]) for flag in answer.json()}

    return read


class Ear(Heard):
    """Hears events, and can wait for them. ``at_each`` is asked at the moment of each, in the sending thread."""

    def __init__(self, key: str, at_each: Callable[[], Any]) -> None:
        super().__init__([key])
        self.news = threading.Condition()
        self.at_each = at_each
        self.seen: list[Any] = []
        self.times: list[datetime] = []

    def wake_threadsafe(self) -> None:
        super().wake_threadsafe()
        with self.news:
            self.times.append(timezone.now())
            self.seen.append(self.at_each())
            self.news.notify_all()

    def wait(self, number: int = 1) -> None:
        """Wait until so many events have come in all."""
        with self.news:
            if not self.news.wait_for(lambda: len(self.seen) >= number, PATIENCE):
                raise TimeoutError(f"{len(self.seen)} events in {PATIENCE} s, not {number}")


@pytest.fixture
def ear(environment: Environment) -> Iterator[Callable[..., Ear]]:
    """Listen to the environment: ``ear(flags)`` also keeps what ``flags()`` says at each event."""
    from django_eventstream.views import get_listener_manager

    ears: list[Ear] = []

    def listen(at_each: Callable[[], Any] = lambda: None) -> Ear:
        ears.append(Ear(environment.api_key, at_each))
        get_listener_manager().add_listener(ears[-1])
        return ears[-1]

    yield listen
    for each in ears:
        get_listener_manager().remove_listener(each)


@contextmanager
def running() -> Iterator[Scheduler]:
    """A scheduler in a thread of its own, ended at the end."""
    scheduler = Scheduler()
    thread = threading.Thread(target=scheduler.run, daemon=True)
    thread.start()
    try:
        yield scheduler
    finally:
        scheduler.end()
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.fixture
def scheduler(transactional_db: None) -> Iterator[Scheduler]:
    with running() as scheduler:
        yield scheduler
