"""Publication of committed change requests: immediately, completely and with one event."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from audit.models import AuditLog
from environments.models import Environment, EnvironmentAPIKey
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue, FeatureType
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from features.workflows.core.models import ChangeRequest
from segments.models import Segment
from tests.support.events import recorded_events
from tests.workflows.conftest import REQUESTS, in_a, text

# Events are published on commit.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

Propose = Callable[..., dict[str, Any]]


@pytest.fixture
def commit(admin: APIClient) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def call(request: dict[str, Any]) -> dict[str, Any]:
        answer = admin.post(f"{REQUESTS}{request['id']}/commit/")
        assert answer.status_code == 200, answer.content
        committed: dict[str, Any] = answer.json()
        return committed

    return call


@pytest.mark.parametrize("live_from", [None, "2020-01-01T00:00:00Z"])
def test_commit__live_from_null_or_past__live_with_one_event(
    propose: Propose,
    commit: Callable[..., Any],
    admin: APIClient,
    environment: Environment,
    production: Environment,
    feature: Feature,
    state: FeatureState,
    flags: Callable[[], Any],
    live_from: str | None,
) -> None:
    created = propose(
        {"feature": feature.pk, "enabled": True, "feature_state_value": text("new"), "live_from": live_from}
    )
    with recorded_events(environment, production) as events:
        committed = commit(created)
        (updated_at,) = events.of(environment)
        assert events.of(production) == []
    environment.refresh_from_db()
    assert environment.updated_at == updated_at
    assert flags() == {"banner": (True, "new")}
    live = FeatureState.objects.get(environment=environment, feature=feature)
    assert live.pk == created["feature_states"][0]["id"]
    assert live.version == state.version + 1
    assert committed["feature_states"][0]["live_from"] == committed["committed_at"]
    listed = admin.get(f"/api/v1/environments/{environment.api_key}/featurestates/?feature={feature.pk}").json()
    (shown,) = listed["results"]
    assert (shown["id"], shown["change_request"], shown["version"]) == (live.pk, created["id"], 2)
    assert admin.get(f"/api/v1/environments/{environment.api_key}/featurestates/{state.pk}/").status_code == 404


def test_commit__several_states__live_with_one_event(
    propose: Propose,
    commit: Callable[..., Any],
    environment: Environment,
    make_feature: Callable[..., Feature],
    feature: Feature,
    override: FeatureSegment,
    flags: Callable[[], Any],
) -> None:
    second = make_feature("second")
    created = propose(
        {"feature": feature.pk, "enabled": True, "feature_state_value": text("one")},
        {"feature": feature.pk, "feature_segment": override.pk, "feature_state_value": text("two")},
        {"feature": second.pk, "enabled": True, "feature_state_value": {"type": "int", "integer_value": 3}},
    )
    with recorded_events(environment) as events:
        commit(created)
        assert len(events.of(environment)) == 1
    assert flags() == {"banner": (True, "one"), "second": (True, 3)}
    live = FeatureState.objects.get(feature_segment=override)
    assert (live.enabled, live.version, live.feature_state_value.value) == (True, 2, "two")
    assert FeatureState.objects.filter(environment=environment).count() == 3
    assert FeatureStateValue.objects.count() == 3


def test_commit__feature_segment_without_a_state__override_created(
    propose: Propose,
    commit: Callable[..., Any],
    environment: Environment,
    feature: Feature,
    segment: Segment,
) -> None:
    feature_segment = FeatureSegment.objects.create(feature=feature, environment=environment, segment=segment)
    created = propose({"feature": feature.pk, "feature_segment": feature_segment.pk, "enabled": True})
    with recorded_events(environment) as events:
        commit(created)
        assert len(events.of(environment)) == 1
    live = FeatureState.objects.get(feature_segment=feature_segment)
    assert (live.enabled, live.version) == (True, 1)


def test_commit__no_states__committed_without_an_event(
    admin: APIClient, creation: str, commit: Callable[..., Any], environment: Environment
) -> None:
    created = admin.post(creation, {"title": "t", "feature_states": []}, "json").json()
    with recorded_events(environment) as events:
        assert commit(created)["is_committed"] is True
        assert events.of(environment) == []


def test_draft__edited_approved_rejected_and_deleted__no_event(
    admin: APIClient, approver: APIClient, propose: Propose, environment: Environment, feature: Feature
) -> None:
    Environment.objects.filter(pk=environment.pk).update(minimum_change_request_approvals=2)
    before = Environment.objects.values("updated_at", "revision").get(pk=environment.pk)
    with recorded_events(environment) as events:
        path = f"{REQUESTS}{propose()['id']}/"
        edited = [{"feature": feature.pk, "enabled": False, "live_from": in_a(days=1)}]
        statuses = [
            admin.patch(path, {"feature_states": edited}, "json").status_code,
            approver.post(f"{path}approve/").status_code,
            admin.post(f"{path}commit/").status_code,
            admin.delete(path).status_code,
        ]
        assert statuses == [200, 200, 400, 204]
        assert events.of(environment) == []
    assert Environment.objects.values("updated_at", "revision").get(pk=environment.pk) == before


def test_commit__scheduled__no_event_and_nothing_served(
    schedule: Callable[..., Any], environment: Environment, flags: Callable[[], Any], feature: Feature
) -> None:
    before = Environment.objects.values("updated_at", "revision").get(pk=environment.pk)
    with recorded_events(environment) as events:
        committed = schedule(in_a(days=1))
        assert events.of(environment) == []
    assert (committed["is_committed"], committed["committed_at"] is not None) == (True, True)
    assert Environment.objects.values("updated_at", "revision").get(pk=environment.pk) == before
    assert flags() == {"banner": (False, None)}


@pytest.mark.parametrize("missing", ["feature", "segment", "override", "moved", "recreated"])
def test_commit__target_missing_or_replaced__rejected_and_nothing_changed(
    admin: APIClient,
    propose: Propose,
    environment: Environment,
    make_feature: Callable[..., Feature],
    feature: Feature,
    segment: Segment,
    override: FeatureSegment,
    flags: Callable[[], Any],
    missing: str,
) -> None:
    second = make_feature("second")
    created = propose(
        {"feature": second.pk, "enabled": True},
        {"feature": feature.pk, "feature_segment": override.pk, "enabled": False},
    )
    other = Segment.objects.create(name="others", project=segment.project)
    project = f"/api/v1/projects/{environment.project_id}/"
    match missing:
        case "feature":
            admin.delete(f"{project}features/{feature.pk}/")
        case "segment":
            admin.delete(f"{project}segments/{segment.pk}/")
        case "override":
            admin.delete(f"/api/v1/features/feature-segments/{override.pk}/")
        case "moved":
            admin.patch(f"/api/v1/features/feature-segments/{override.pk}/", {"segment": other.pk}, "json")
        case "recreated":
            FeatureState.objects.filter(feature_segment=override, version=1).delete()
            path = f"/api/v1/environments/{environment.api_key}/features/{feature.pk}/create-segment-override/"
            body = {"feature_segment": {"segment": segment.pk}, "enabled": True, "feature_state_value": text("x")}
            assert admin.post(path, body, "json").status_code == 201
    before = flags()
    with recorded_events(environment) as events:
        answer = admin.post(f"{REQUESTS}{created['id']}/commit/")
        assert events.of(environment) == []
    message = {
        "feature": "The feature banner no longer exists.",
        "segment": "The segment professionals no longer exists.",
        "override": "The override of banner for professionals no longer exists.",
        "moved": "The override of banner for professionals now belongs to another segment.",
        "recreated": "The override of banner for professionals was deleted and created again.",
    }[missing]
    assert (answer.status_code, answer.json()) == (400, {"detail": message, "message": message})
    assert flags() == before
    assert admin.get(f"{REQUESTS}{created['id']}/").json()["is_committed"] is False


def test_live_request__state_changed_later__shows_the_published_content(
    admin: APIClient, propose: Propose, commit: Callable[..., Any], environment: Environment, feature: Feature
) -> None:
    committed = commit(propose())
    live = committed["feature_states"][0]["id"]
    states = f"/api/v1/environments/{environment.api_key}/featurestates/"
    assert admin.put(f"{states}{live}/", {"enabled": False}, "json").status_code == 200
    assert admin.get(f"{REQUESTS}{committed['id']}/").json() == committed
    commit(propose({"feature": feature.pk, "enabled": True, "feature_state_value": text("later")}))
    assert admin.get(f"{REQUESTS}{committed['id']}/").json() == committed


def test_conflicts__same_target_published_by_another_request__listed(
    admin: APIClient,
    propose: Propose,
    commit: Callable[..., Any],
    make_feature: Callable[..., Feature],
    feature: Feature,
    override: FeatureSegment,
) -> None:
    other = make_feature("elsewhere")
    before = commit(propose())
    created = propose(
        {"feature": feature.pk, "enabled": False},
        {"feature": feature.pk, "feature_segment": override.pk, "enabled": False},
    )
    path = f"{REQUESTS}{created['id']}/"
    commit(propose({"feature": other.pk, "enabled": True}))
    assert admin.get(path).json()["conflicts"] == []
    default = commit(propose())
    segment_override = commit(propose({"feature": feature.pk, "feature_segment": override.pk, "enabled": True}))
    conflicts = admin.get(path).json()["conflicts"]
    assert conflicts == [
        {
            "original_cr_id": segment_override["id"],
            "segment_id": override.segment_id,
            "is_environment_default": False,
            "published_at": segment_override["committed_at"],
        },
        {
            "original_cr_id": default["id"],
            "segment_id": None,
            "is_environment_default": True,
            "published_at": default["committed_at"],
        },
    ]
    committed = commit(created)
    assert committed["conflicts"] == []
    assert before["conflicts"] == []


def test_commit__multivariate__identities_keep_their_variants(
    admin: APIClient,
    propose: Propose,
    commit: Callable[..., Any],
    environment: Environment,
    feature: Feature,
    state: FeatureState,
) -> None:
    Feature.objects.filter(pk=feature.pk).update(type=FeatureType.MULTIVARIATE)
    for value in "abc":
        option = MultivariateFeatureOption.objects.create(feature=feature, string_value=value)
        state.multivariate_feature_state_values.create(multivariate_feature_option=option, percentage_allocation=25)
    key = EnvironmentAPIKey.objects.create(environment=environment, name="k").key

    def variants() -> list[Any]:
        values = []
        for number in range(40):
            path = f"/api/v1/identities/?identifier=u{number}&transient=true"
            answer = APIClient().get(path, headers={"X-Environment-Key": environment.api_key})
            values.append(answer.json()["flags"][0]["feature_state_value"])
        return values

    before = variants()
    assert len(set(before)) > 1
    for _ in range(2):
        created = propose({"feature": feature.pk, "enabled": True})
        shares = list(reversed(created["feature_states"][0]["multivariate_feature_state_values"]))
        states = [{"feature": feature.pk, "multivariate_feature_state_values": shares}]
        assert admin.patch(f"{REQUESTS}{created['id']}/", {"feature_states": states}, "json").status_code == 200
        live = commit(created)["feature_states"][0]["id"]
        assert variants() == before
    document = APIClient().get("/api/v1/environment-document/", headers={"X-Environment-Key": key}).json()
    (shown,) = document["feature_states"]
    assert shown["django_id"] == state.pk
    answer = APIClient().get("/api/v1/flags/", headers={"X-Environment-Key": environment.api_key}).json()
    assert answer[0]["id"] == live


def test_commit__20_states__as_many_queries_as_for_2(
    admin: APIClient,
    propose: Propose,
    environment: Environment,
    make_feature: Callable[..., Feature],
) -> None:
    def counted(number: int) -> list[int]:
        features = [make_feature(f"f{number}-{each}", type=FeatureType.MULTIVARIATE) for each in range(number)]
        for feature in features:
            option = MultivariateFeatureOption.objects.create(feature=feature, string_value="a")
            live = FeatureState.objects.get(feature=feature)
            live.multivariate_feature_state_values.create(multivariate_feature_option=option, percentage_allocation=5)
        states = [{"feature": feature.pk, "enabled": True, "feature_state_value": text("a")} for feature in features]
        counts = []
        path = f"/api/v1/environments/{environment.api_key}/create-change-request/"
        with CaptureQueriesContext(connection) as queries:
            created = admin.post(path, {"title": "t", "feature_states": states}, "json").json()
        counts.append(len(queries))
        path = f"{REQUESTS}{created['id']}/"
        retrieved = admin.get(path).json()
        for state in retrieved["feature_states"]:
            state["feature_state_value"] = text("b")
        for call in (
            lambda: admin.put(path, retrieved, "json"),
            lambda: admin.get(path),
            lambda: admin.post(f"{path}commit/"),
        ):
            with CaptureQueriesContext(connection) as queries:
                assert call().status_code == 200
            counts.append(len(queries))
        return counts

    assert counted(2) == counted(20)


@pytest.mark.slow
def test_commit__more_states_than_parameters_of_a_statement__live(
    propose: Propose, commit: Callable[..., Any], environment: Environment, project: Any, flags: Callable[[], Any]
) -> None:
    features = Feature.objects.bulk_create(Feature(name=f"f{number}", project=project) for number in range(400))
    states = FeatureState.objects.bulk_create(
        FeatureState(feature=feature, environment=environment) for feature in features
    )
    FeatureStateValue.objects.bulk_create(FeatureStateValue(feature_state=state) for state in states)
    commit(propose(*({"feature": feature.pk, "enabled": True} for feature in features)))
    assert {enabled for name, (enabled, _) in flags().items() if name != "banner"} == {True}


def test_delete__environment_and_project_with_requests__allowed(
    admin: APIClient,
    propose: Propose,
    commit: Callable[..., Any],
    schedule: Callable[..., Any],
    environment: Environment,
) -> None:
    propose()
    commit(propose())
    schedule(in_a(days=1))
    assert admin.delete(f"/api/v1/environments/{environment.api_key}/").status_code == 204
    assert ChangeRequest.objects.count() == 0
    assert admin.delete(f"/api/v1/projects/{environment.project_id}/").status_code == 204
    assert MultivariateFeatureStateValue.objects.count() == 0


def test_audit_log__request_created_approved_committed_deleted__entries(
    admin: APIClient,
    approver: APIClient,
    propose: Propose,
    commit: Callable[..., Any],
    environment: Environment,
) -> None:
    created = propose()
    approver.post(f"{REQUESTS}{created['id']}/approve/")
    commit(created)
    admin.delete(f"{REQUESTS}{propose(title='Another')['id']}/")
    entries = AuditLog.objects.filter(environment_id=environment.pk).order_by("pk")
    assert [(entry.log, entry.related_object_type, entry.is_system_event) for entry in entries] == [
        ("Change Request: Turn it on created", "CHANGE_REQUEST", False),
        ("Change Request: Turn it on approved", "CHANGE_REQUEST", False),
        (
            "Flag state / Remote config updated for feature: banner by Change Request: Turn it on",
            "FEATURE_STATE",
            True,
        ),
        ("Change Request: Turn it on committed", "CHANGE_REQUEST", False),
        ("Change Request: Another created", "CHANGE_REQUEST", False),
        ("Change Request: Another deleted", "CHANGE_REQUEST", False),
    ]
