"""Which flag changes are written as deliveries, and their bodies. Nothing is sent."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.models import Environment, Webhook
from features.models import Feature, FeatureState
from features.workflows.core.models import ChangeRequest
from features.workflows.core.scheduler import publish_next
from projects.models import Project
from segments.models import Segment
from tests.support.api import text
from tests.webhooks.conftest import NewBodies, ok
from users.models import FFAdminUser
from webhooks.models import Delivery

pytestmark = pytest.mark.django_db

Body = dict[str, Any]


@pytest.fixture
def override(admin: APIClient, environment: Environment, feature: Feature, segment: Segment) -> Body:
    """An override by which ``segment`` has ``feature`` enabled. A webhook requested before it receives its creation."""
    path = f"/api/v1/environments/{environment.api_key}/features/{feature.pk}/create-segment-override/"
    body = {"feature_segment": {"segment": segment.pk}, "enabled": True, "feature_state_value": text("segment's")}
    created: Body = ok(admin.post(path, body, "json"))
    return created


@pytest.fixture
def identity(environment: Environment) -> Identity:
    return Identity.objects.create(environment=environment, identifier="u1")


@pytest.fixture
def identity_states(environment: Environment, identity: Identity) -> str:
    return f"/api/v1/environments/{environment.api_key}/identities/{identity.pk}/featurestates/"


def summary(body: Body) -> Any:
    """The event type, and ``enabled`` and the value before and after; None: there was no state."""

    def enabled_and_value(state: Body | None) -> Any:
        return (state["enabled"], state["feature_state_value"]) if state is not None else None

    data = body["data"]
    return body["event_type"], enabled_and_value(data.get("previous_state")), enabled_and_value(data["new_state"])


def test_state__changed_in_two_rows__one_delivery_in_flagsmiths_format(
    admin: APIClient,
    user: FFAdminUser,
    states: str,
    state: FeatureState,
    feature: Feature,
    environment: Environment,
    webhook: Webhook,
    new_bodies: NewBodies,
) -> None:
    ok(admin.put(f"{states}{state.pk}/", {"enabled": True, "feature_state_value": "new"}, "json"))
    (body,) = new_bodies()
    new_state = {
        "feature": {
            "id": feature.pk,
            "created_date": feature.created_date.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "default_enabled": False,
            "description": None,
            "initial_value": None,
            "name": "banner",
            "project": {"id": feature.project_id, "name": "Web"},
            "type": "STANDARD",
        },
        "environment": {"id": environment.pk, "name": "Development"},
        "identity": None,
        "identity_identifier": None,
        "feature_segment": None,
        "enabled": True,
        "feature_state_value": "new",
        "multivariate_feature_state_values": [],
    }
    assert len(body["data"].pop("timestamp")) == len("2026-01-01T00:00:00.000000Z")
    assert body == {
        "event_type": "FLAG_UPDATED",
        "data": {
            "changed_by": user.email,
            "new_state": new_state,
            "previous_state": {**new_state, "enabled": False, "feature_state_value": None},
        },
    }
    raw = Delivery.objects.get().body
    assert raw.index('"data"') < raw.index('"changed_by"') < raw.index('"timestamp"') < raw.index('"event_type"')


def test_state__saved_without_a_change_or_invalid__no_delivery(
    admin: APIClient, states: str, state: FeatureState, webhook: Webhook, new_bodies: NewBodies
) -> None:
    ok(admin.put(f"{states}{state.pk}/", {"enabled": False, "feature_state_value": None}, "json"))
    too_long = {"enabled": True, "feature_state_value": "x" * 20_001}
    assert admin.put(f"{states}{state.pk}/", too_long, "json").status_code == 400
    assert new_bodies() == []


def test_value__changes_only_its_type__delivered(
    admin: APIClient, states: str, state: FeatureState, webhook: Webhook, new_bodies: NewBodies
) -> None:
    for value in ("1", 1, True, 1):
        ok(admin.put(f"{states}{state.pk}/", {"enabled": False, "feature_state_value": value}, "json"))
    assert [summary(body)[1:] for body in new_bodies()] == [
        ((False, None), (False, "1")),
        ((False, "1"), (False, 1)),
        ((False, 1), (False, True)),
        ((False, True), (False, 1)),
    ]


def test_shares__only_change__delivered_with_the_previous_shares(
    admin: APIClient, states: str, features: str, environment: Environment, webhook: Webhook, new_bodies: NewBodies
) -> None:
    option = {"type": "unicode", "string_value": "a", "default_percentage_allocation": 10}
    feature = ok(admin.post(features, {"name": "split", "multivariate_options": [option]}, "json"))
    (body,) = new_bodies()
    (share,) = body["data"]["new_state"]["multivariate_feature_state_values"]
    assert (share["multivariate_feature_option"]["value"], share["percentage_allocation"]) == ("a", 10)
    state = FeatureState.objects.get(feature=feature["id"])
    new = {"multivariate_feature_option": share["multivariate_feature_option"]["id"], "percentage_allocation": 60}
    ok(admin.put(f"{states}{state.pk}/", {"enabled": False, "multivariate_feature_state_values": [new]}, "json"))
    (body,) = new_bodies()
    assert body["data"]["previous_state"]["multivariate_feature_state_values"] == [share]
    (after,) = body["data"]["new_state"]["multivariate_feature_state_values"]
    assert after == {**share, "percentage_allocation": 60}


def test_feature__created_and_deleted__its_state_in_each_environment_is_delivered(
    admin: APIClient,
    features: str,
    environment: Environment,
    production: Environment,
    webhook: Webhook,
    new_bodies: NewBodies,
) -> None:
    Webhook.objects.create(environment=production, url="https://hooks.example.com/production")
    feature = ok(admin.post(features, {"name": "new", "initial_value": "x", "default_enabled": True}, "json"))
    bodies = new_bodies()
    assert [summary(body) for body in bodies] == [("FLAG_UPDATED", None, (True, "x"))] * 2
    assert [body["data"]["new_state"]["environment"]["name"] for body in bodies] == ["Development", "Production"]
    assert all("previous_state" not in body["data"] for body in bodies)
    ok(admin.patch(f"{features}{feature['id']}/", {"description": "changed"}, "json"))
    assert new_bodies() == []
    ok(admin.delete(f"{features}{feature['id']}/"))
    bodies = new_bodies()
    assert [body["event_type"] for body in bodies] == ["FLAG_DELETED"] * 2
    assert [body["data"]["new_state"] for body in bodies] == [None, None]
    assert [body["data"]["previous_state"]["feature_state_value"] for body in bodies] == ["x", "x"]


def test_segment_override__created__delivered_with_its_segment(
    admin: APIClient, webhook: Webhook, override: Body, segment: Segment, new_bodies: NewBodies
) -> None:
    (body,) = new_bodies()
    assert summary(body) == ("FLAG_UPDATED", None, (True, "segment's"))
    shown = {"segment": {"id": segment.pk, "name": segment.name, "description": None}, "priority": 0}
    assert body["data"]["new_state"]["feature_segment"] == shown


@pytest.mark.parametrize("deleted", ["override", "segment", "override by segment"])
def test_segment_override__deleted__delivered_once(
    admin: APIClient,
    override: Body,
    feature: Feature,
    segment: Segment,
    environment: Environment,
    project: Project,
    deleted: str,
    new_bodies: NewBodies,
) -> None:
    Webhook.objects.create(environment=environment, url="https://hooks.example.com/")
    overrides = f"/api/__future__/environments/{environment.api_key}/features/{feature.pk}/segment-overrides/"
    paths = {
        "override": f"/api/v1/features/feature-segments/{override['feature_segment']['id']}/",
        "segment": f"/api/v1/projects/{project.pk}/segments/{segment.pk}/",
        "override by segment": f"{overrides}{segment.pk}/",
    }
    ok(admin.delete(paths[deleted]))
    (body,) = new_bodies()
    assert (body["event_type"], body["data"]["new_state"]) == ("FLAG_DELETED", None)
    assert body["data"]["previous_state"]["feature_segment"]["segment"]["id"] == segment.pk
    assert body["data"]["previous_state"]["feature_state_value"] == "segment's"


def test_segment_override__moved_to_another_segment__delivered_with_both(
    admin: APIClient,
    override: Body,
    project: Project,
    feature: Feature,
    environment: Environment,
    new_bodies: NewBodies,
) -> None:
    Webhook.objects.create(environment=environment, url="https://hooks.example.com/")
    other = Segment.objects.create(name="others", project=project)
    body = {"environment": environment.pk, "feature": feature.pk, "segment": other.pk}
    ok(admin.put(f"/api/v1/features/feature-segments/{override['feature_segment']['id']}/", body, "json"))
    (body,) = new_bodies()
    names = [body["data"][name]["feature_segment"]["segment"]["name"] for name in ("previous_state", "new_state")]
    assert names == ["professionals", "others"]


def test_identity_override__created_changed_and_deleted__delivered_with_the_identity(
    admin: APIClient,
    identity_states: str,
    identity: Identity,
    feature: Feature,
    webhook: Webhook,
    new_bodies: NewBodies,
) -> None:
    body = {"feature": feature.pk, "enabled": True, "feature_state_value": "own"}
    override = ok(admin.post(identity_states, body, "json"))
    ok(admin.put(f"{identity_states}{override['id']}/", {"feature": feature.pk, "enabled": False}, "json"))
    ok(admin.delete(f"{identity_states}{override['id']}/"))
    bodies = new_bodies()
    assert [body["event_type"] for body in bodies] == ["FLAG_UPDATED", "FLAG_UPDATED", "FLAG_DELETED"]
    assert summary(bodies[0])[1:] == (None, (True, "own"))
    assert summary(bodies[1])[1:] == ((True, "own"), (False, "own"))
    states = [bodies[0]["data"]["new_state"], bodies[2]["data"]["previous_state"]]
    assert [(state["identity"], state["identity_identifier"]) for state in states] == [(identity.pk, "u1")] * 2


def test_identity__copied_and_deleted__each_override_is_delivered(
    admin: APIClient,
    identity_states: str,
    identity: Identity,
    feature: Feature,
    environment: Environment,
    webhook: Webhook,
    new_bodies: NewBodies,
) -> None:
    ok(admin.post(identity_states, {"feature": feature.pk, "enabled": True, "feature_state_value": "own"}, "json"))
    other = Identity.objects.create(environment=environment, identifier="u2")
    new_bodies()
    path = f"/api/v1/environments/{environment.api_key}/identities/{other.pk}/"
    source = {"source_identity_id": identity.pk}
    ok(admin.post(f"{path}featurestates/clone-from-given-identity/", source, "json"))
    (body,) = new_bodies()
    assert summary(body) == ("FLAG_UPDATED", None, (True, "own"))
    assert body["data"]["new_state"]["identity_identifier"] == "u2"
    ok(admin.delete(path))
    (body,) = new_bodies()
    assert (body["event_type"], body["data"]["previous_state"]["identity_identifier"]) == ("FLAG_DELETED", "u2")


@pytest.mark.parametrize("scheduled", [False, True])
def test_change_request__goes_live__delivered_with_the_replaced_state(
    admin: APIClient,
    user: FFAdminUser,
    environment: Environment,
    feature: Feature,
    webhook: Webhook,
    scheduled: bool,
    new_bodies: NewBodies,
) -> None:
    path = f"/api/v1/environments/{environment.api_key}/create-change-request/"
    live_from = "2999-01-01T00:00:00Z" if scheduled else None
    state = {"feature": feature.pk, "enabled": True, "feature_state_value": text("new"), "live_from": live_from}
    created = ok(admin.post(path, {"title": "t", "feature_states": [state]}, "json"))
    ok(admin.post(f"/api/v1/features/workflows/change-requests/{created['id']}/commit/"))
    if scheduled:
        assert new_bodies() == []
        (change_request,) = ChangeRequest.objects.all()
        change_request.changes.update(live_from="2020-01-01T00:00:00Z")
        ChangeRequest.objects.update(due_at="2020-01-01T00:00:00Z")
        assert publish_next()
    (body,) = new_bodies()
    assert summary(body) == ("FLAG_UPDATED", (False, None), (True, "new"))
    assert body["data"]["changed_by"] == user.email
