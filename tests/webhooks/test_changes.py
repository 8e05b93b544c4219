"""Which changes webhooks are told of, and in which words. Nothing is sent here: what is due is read."""

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
from tests.webhooks.conftest import Told, ok
from users.models import FFAdminUser
from webhooks.models import Delivery

pytestmark = pytest.mark.django_db

Body = dict[str, Any]


@pytest.fixture
def override(admin: APIClient, environment: Environment, feature: Feature, segment: Segment) -> Body:
    """``segment`` has ``feature`` on. Made before there is a webhook."""
    path = f"/api/v1/environments/{environment.api_key}/features/{feature.pk}/create-segment-override/"
    body = {"feature_segment": {"segment": segment.pk}, "enabled": True, "feature_state_value": text("segment's")}
    made = admin.post(path, body, "json")
    assert made.status_code == 201, made.content
    answer: Body = made.json()
    return answer


@pytest.fixture
def identity(environment: Environment) -> Identity:
    return Identity.objects.create(environment=environment, identifier="u1")


@pytest.fixture
def of_identity(environment: Environment, identity: Identity) -> str:
    return f"/api/v1/environments/{environment.api_key}/identities/{identity.pk}/featurestates/"


def summary(body: Body) -> Any:
    """The kind, and on or off with the value, before and after."""

    def said(state: Body | None) -> Any:
        return (state["enabled"], state["feature_state_value"]) if state is not None else "nothing"

    return body["event_type"], said(body["data"].get("previous_state")), said(body["data"]["new_state"])


def test_state__changed_in_two_rows__told_once_in_flagsmiths_shape(
    admin: APIClient,
    user: FFAdminUser,
    states: str,
    state: FeatureState,
    feature: Feature,
    environment: Environment,
    webhook: Webhook,
    told: Told,
) -> None:
    ok(admin.put(f"{states}{state.pk}/", {"enabled": True, "feature_state_value": "new"}, "json"))
    (body,) = told()
    shown = {
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
    moment = body["data"].pop("timestamp")
    assert len(moment) == len("2026-01-01T00:00:00.000000Z")
    assert body == {
        "event_type": "FLAG_UPDATED",
        "data": {
            "changed_by": user.email,
            "new_state": shown,
            "previous_state": {**shown, "enabled": False, "feature_state_value": None},
        },
    }
    raw = Delivery.objects.get().body
    assert raw.index('"data"') < raw.index('"changed_by"') < raw.index('"timestamp"') < raw.index('"event_type"')


def test_state__written_as_it_was_or_refused__nobody_is_told(
    admin: APIClient, states: str, state: FeatureState, webhook: Webhook, told: Told
) -> None:
    ok(admin.put(f"{states}{state.pk}/", {"enabled": False, "feature_state_value": None}, "json"))
    assert (
        admin.put(f"{states}{state.pk}/", {"enabled": True, "feature_state_value": "x" * 20_001}, "json").status_code
        == 400
    )
    assert told() == []


def test_value__from_text_to_a_number_and_back__told(
    admin: APIClient, states: str, state: FeatureState, webhook: Webhook, told: Told
) -> None:
    for value in ("1", 1, True, 1):
        ok(admin.put(f"{states}{state.pk}/", {"enabled": False, "feature_state_value": value}, "json"))
    assert [summary(body)[1:] for body in told()] == [
        ((False, None), (False, "1")),
        ((False, "1"), (False, 1)),
        ((False, 1), (False, True)),
        ((False, True), (False, 1)),
    ]


def test_shares__changed_alone__told_with_those_of_before(
    admin: APIClient, states: str, features: str, environment: Environment, webhook: Webhook, told: Told
) -> None:
    option = {"type": "unicode", "string_value": "a", "default_percentage_allocation": 10}
    made = ok(admin.post(features, {"name": "split", "multivariate_options": [option]}, "json"))
    (created,) = told()
    (share,) = created["data"]["new_state"]["multivariate_feature_state_values"]
    assert (share["multivariate_feature_option"]["value"], share["percentage_allocation"]) == ("a", 10)
    state = FeatureState.objects.get(feature=made["id"])
    given = {"multivariate_feature_option": share["multivariate_feature_option"]["id"], "percentage_allocation": 60}
    ok(admin.put(f"{states}{state.pk}/", {"enabled": False, "multivariate_feature_state_values": [given]}, "json"))
    (body,) = told()
    assert body["data"]["previous_state"]["multivariate_feature_state_values"] == [share]
    (after,) = body["data"]["new_state"]["multivariate_feature_state_values"]
    assert after == {**share, "percentage_allocation": 60}


def test_feature__made_renamed_and_removed__told_of_its_state_in_each_environment(
    admin: APIClient, features: str, environment: Environment, production: Environment, webhook: Webhook, told: Told
) -> None:
    Webhook.objects.create(environment=production, url="https://hooks.example.com/production")
    made = ok(admin.post(features, {"name": "new", "initial_value": "x", "default_enabled": True}, "json"))
    bodies = told()
    assert [summary(body) for body in bodies] == [("FLAG_UPDATED", "nothing", (True, "x"))] * 2
    assert [body["data"]["new_state"]["environment"]["name"] for body in bodies] == ["Development", "Production"]
    assert all("previous_state" not in body["data"] for body in bodies)
    ok(admin.patch(f"{features}{made['id']}/", {"description": "renamed"}, "json"))
    assert told() == []
    ok(admin.delete(f"{features}{made['id']}/"))
    bodies = told()
    assert [body["event_type"] for body in bodies] == ["FLAG_DELETED"] * 2
    assert [body["data"]["new_state"] for body in bodies] == [None, None]
    assert [body["data"]["previous_state"]["feature_state_value"] for body in bodies] == ["x", "x"]


def test_segment_override__made__told_with_its_segment(
    admin: APIClient, webhook: Webhook, override: Body, segment: Segment, told: Told
) -> None:
    (body,) = told()
    assert summary(body) == ("FLAG_UPDATED", "nothing", (True, "segment's"))
    place = body["data"]["new_state"]["feature_segment"]
    assert place == {"segment": {"id": segment.pk, "name": segment.name, "description": None}, "priority": 0}


@pytest.mark.parametrize("way", ["override", "segment", "future"])
def test_segment_override__removed__told_once(
    admin: APIClient,
    override: Body,
    feature: Feature,
    segment: Segment,
    environment: Environment,
    project: Project,
    way: str,
    told: Told,
) -> None:
    Webhook.objects.create(environment=environment, url="https://hooks.example.com/")
    place = override["feature_segment"]["id"]
    of_feature = f"/api/__future__/environments/{environment.api_key}/features/{feature.pk}"
    paths = {
        "override": f"/api/v1/features/feature-segments/{place}/",
        "segment": f"/api/v1/projects/{project.pk}/segments/{segment.pk}/",
        "future": f"{of_feature}/segment-overrides/{segment.pk}/",
    }
    ok(admin.delete(paths[way]))
    (body,) = told()
    assert (body["event_type"], body["data"]["new_state"]) == ("FLAG_DELETED", None)
    assert body["data"]["previous_state"]["feature_segment"]["segment"]["id"] == segment.pk
    assert body["data"]["previous_state"]["feature_state_value"] == "segment's"


def test_segment_override__given_to_another_segment__told_with_both(
    admin: APIClient, override: Body, project: Project, feature: Feature, environment: Environment, told: Told
) -> None:
    Webhook.objects.create(environment=environment, url="https://hooks.example.com/")
    other = Segment.objects.create(name="others", project=project)
    body = {"environment": environment.pk, "feature": feature.pk, "segment": other.pk}
    ok(admin.put(f"/api/v1/features/feature-segments/{override['feature_segment']['id']}/", body, "json"))
    (body,) = told()
    names = [body["data"][each]["feature_segment"]["segment"]["name"] for each in ("previous_state", "new_state")]
    assert names == ["professionals", "others"]


def test_identity_override__made_changed_and_removed__told_with_the_identity(
    admin: APIClient, of_identity: str, identity: Identity, feature: Feature, webhook: Webhook, told: Told
) -> None:
    made = ok(admin.post(of_identity, {"feature": feature.pk, "enabled": True, "feature_state_value": "own"}, "json"))
    ok(admin.put(f"{of_identity}{made['id']}/", {"feature": feature.pk, "enabled": False}, "json"))
    ok(admin.delete(f"{of_identity}{made['id']}/"))
    bodies = told()
    assert [body["event_type"] for body in bodies] == ["FLAG_UPDATED", "FLAG_UPDATED", "FLAG_DELETED"]
    assert summary(bodies[0])[1:] == ("nothing", (True, "own"))
    assert summary(bodies[1])[1:] == ((True, "own"), (False, "own"))
    states = [bodies[0]["data"]["new_state"], bodies[2]["data"]["previous_state"]]
    assert [(state["identity"], state["identity_identifier"]) for state in states] == [(identity.pk, "u1")] * 2


def test_identity__copied_and_removed__told_of_each_override(
    admin: APIClient,
    of_identity: str,
    identity: Identity,
    feature: Feature,
    environment: Environment,
    webhook: Webhook,
    told: Told,
) -> None:
    ok(admin.post(of_identity, {"feature": feature.pk, "enabled": True, "feature_state_value": "own"}, "json"))
    other = Identity.objects.create(environment=environment, identifier="u2")
    told()
    path = f"/api/v1/environments/{environment.api_key}/identities/"
    ok(
        admin.post(
            f"{path}{other.pk}/featurestates/clone-from-given-identity/", {"source_identity_id": identity.pk}, "json"
        )
    )
    (body,) = told()
    assert summary(body) == ("FLAG_UPDATED", "nothing", (True, "own"))
    assert body["data"]["new_state"]["identity_identifier"] == "u2"
    ok(admin.delete(f"{path}{other.pk}/"))
    (body,) = told()
    assert (body["event_type"], body["data"]["previous_state"]["identity_identifier"]) == ("FLAG_DELETED", "u2")


@pytest.mark.parametrize("scheduled", [False, True])
def test_change_request__goes_live__told_of_what_it_replaced(
    admin: APIClient,
    user: FFAdminUser,
    environment: Environment,
    feature: Feature,
    webhook: Webhook,
    scheduled: bool,
    told: Told,
) -> None:
    path = f"/api/v1/environments/{environment.api_key}/create-change-request/"
    live_from = "2999-01-01T00:00:00Z" if scheduled else None
    state = {"feature": feature.pk, "enabled": True, "feature_state_value": text("new"), "live_from": live_from}
    made = ok(admin.post(path, {"title": "t", "feature_states": [state]}, "json"))
    ok(admin.post(f"/api/v1/features/workflows/change-requests/{made['id']}/commit/"))
    if scheduled:
        assert told() == []
        (request,) = ChangeRequest.objects.all()
        request.changes.update(live_from="2020-01-01T00:00:00Z")
        ChangeRequest.objects.update(due_at="2020-01-01T00:00:00Z")
        assert publish_next()
    (body,) = told()
    assert summary(body) == ("FLAG_UPDATED", (False, None), (True, "new"))
    assert body["data"]["changed_by"] == user.email
