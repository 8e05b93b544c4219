"""``environments/{key}/inspection/`` and ``check-key/``: the API gives what the page Live shows."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from environments.models import Environment, EnvironmentAPIKey, UserEnvironmentPermission
from features.models import FeatureState
from projects.models import Project, UserProjectPermission
from realtime.inspector.models import InspectedEvent, InspectedMinute, InspectedProcess, minute_of
from realtime.types import epoch_seconds
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db


@pytest.fixture
def path(environment: Environment) -> str:
    return f"/api/v1/environments/{environment.api_key}/"


@pytest.fixture
def process() -> InspectedProcess:
    now = timezone.now()
    return InspectedProcess.objects.create(host="web-1", pid=1, started_at=now - timedelta(hours=2), seen_at=now)


def record_streams(process: InspectedProcess, key: str, streams: int) -> None:
    InspectedMinute.objects.create(
        process=process.pk,
        environment=key,
        minute=minute_of(timezone.now()),
        streams=streams,
        published=1,
        delivered=1,
        written=2,
        superseded=0,
        times={},
    )


@pytest.fixture
def viewer(member: APIClient, member_user: FFAdminUser, environment: Environment, project: Project) -> APIClient:
    """A member who may see the environment."""
    UserProjectPermission.objects.create(user=member_user, project=project).permissions.add("VIEW_PROJECT")
    rights = UserEnvironmentPermission.objects.create(user=member_user, environment=environment)
    rights.permissions.add("VIEW_ENVIRONMENT")
    return member


def test_inspection__a_toggle__event_with_its_cause_and_the_open_streams(
    admin: APIClient,
    viewer: APIClient,
    outsider: APIClient,
    path: str,
    environment: Environment,
    project: Project,
    state: FeatureState,
    process: InspectedProcess,
) -> None:
    key = EnvironmentAPIKey.objects.create(environment=environment, name="Backend", key="ser.abc")
    record_streams(process, environment.api_key, 7)
    record_streams(process, key.key, 2)
    assert admin.patch(f"{path}featurestates/{state.pk}/", {"enabled": True}, "json").status_code == 200
    environment.refresh_from_db()
    InspectedEvent.objects.create(
        process=process.pk,
        environment=environment.api_key,
        updated_at=environment.updated_at,
        noted_at=timezone.now(),
        written=7,
        superseded=0,
        healed=False,
        times={},
    )
    found = admin.get(f"{path}inspection/").json()
    assert (found["gate_closed_reason"], found["streams"], found["windows"]) == ("", 7, 0)
    assert [(each["host"], each["streams"]) for each in found["processes"]] == [("web-1", 7)]
    assert found["server_keys"] == [{"name": "Backend", "streams": 2}]
    assert len(found["minutes"]) == 60
    (version,) = found["versions"]
    assert (version["version"], version["event"]["written"]) == (epoch_seconds(environment.updated_at), 7)
    cause = {"log": "Flag state updated for feature: banner", "author": "admin@example.com"}
    assert (version["causes"], version["number_of_causes"]) == ([cause], 1)

    seen = viewer.get(f"{path}inspection/").json()
    assert seen["server_keys"] == [{"name": "", "streams": 2}]
    assert (seen["versions"][0]["causes"], seen["versions"][0]["event"]) == ([], version["event"])
    assert outsider.get(f"{path}inspection/").status_code == 404
    project.enable_realtime_updates = False
    project.save()
    assert admin.get(f"{path}inspection/").json()["gate_closed_reason"] == "Real-time updates are off in Web."


def test_check_key__own_server_and_hidden_keys__explained_as_far_as_the_caller_may_know(
    admin: APIClient,
    viewer: APIClient,
    outsider: APIClient,
    path: str,
    environment: Environment,
    production: Environment,
    process: InspectedProcess,
) -> None:
    key = EnvironmentAPIKey.objects.create(environment=environment, name="Backend", key="ser.abc")
    record_streams(process, key.key, 3)

    def check(client: APIClient, key: str) -> dict[str, object]:
        response = client.post(f"{path}check-key/", {"key": key}, "json")
        assert response.status_code == 200
        return dict(response.json())

    assert check(admin, environment.api_key)["is_right"]
    assert str(check(admin, production.api_key)["text"]).startswith("This is the key of Production")
    answer = check(admin, key.key)
    assert (answer["is_right"], answer["streams"]) == (False, 3)
    assert str(answer["text"]).startswith("This is a server-side key of Development.")
    hidden_key = EnvironmentAPIKey.objects.create(environment=production, name="Backend", key="ser.hidden")
    for name in ("typo", production.api_key, hidden_key.key):
        record_streams(process, name, 2)
    unknown = check(viewer, "typo")
    assert (unknown["is_right"], unknown["streams"]) == (False, None)
    # The viewer may see one environment of the two.
    assert check(viewer, production.api_key) == check(viewer, hidden_key.key) == unknown
    assert admin.post(f"{path}check-key/", {}, "json").json() == {"key": ["This field is required."]}
    assert outsider.post(f"{path}check-key/", {"key": "typo"}, "json").status_code == 404
