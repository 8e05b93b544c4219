"""Draft change requests: creating, reading, listing and editing them, and their invisibility elsewhere."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.models import Environment, EnvironmentAPIKey
from features.models import Feature, FeatureSegment, FeatureState
from features.multivariate.models import MultivariateFeatureOption
from features.workflows.core.models import ChangeRequest, PlannedChange
from segments.models import Segment
from tests.support.events import recorded_events
from tests.workflows.conftest import REQUESTS, in_a, text
from users.models import FFAdminUser

pytestmark = [pytest.mark.django_db, pytest.mark.database]

CREATED = [
    "id",
    "created_at",
    "updated_at",
    "title",
    "description",
    "feature_states",
    "deleted_at",
    "environment",
    "committed_at",
    "approvals",
    "user",
    "committed_by",
    "group_assignments",
    "environment_feature_versions",
    "change_sets",
    "ignore_conflicts",
]


def test_create__all_fields__response_in_flagsmiths_format(
    admin: APIClient,
    user: FFAdminUser,
    member_user: FFAdminUser,
    creation: str,
    environment: Environment,
    feature: Feature,
) -> None:
    state = {"feature": feature.pk, "enabled": True, "feature_state_value": text("v"), "live_from": None}
    body = {
        "title": "t",
        "description": "d",
        "feature_states": [state],
        "approvals": [{"user": member_user.pk}],
        "group_assignments": [],
        "environment_feature_versions": [],
        "change_sets": None,
        "ignore_conflicts": True,
    }
    answer = admin.post(creation, body, "json")
    assert answer.status_code == 201, answer.content
    created = answer.json()
    assert list(created) == CREATED
    (shown,) = created["feature_states"]
    assert shown == {**state, "id": shown["id"], "feature_segment": None, "multivariate_feature_state_values": []}
    (approval,) = created["approvals"]
    assert approval == {"id": approval["id"], "user": member_user.pk, "approved_at": None}
    assert {name: created[name] for name in CREATED[3:5] + CREATED[6:9] + CREATED[10:]} == {
        "title": "t",
        "description": "d",
        "deleted_at": None,
        "environment": environment.pk,
        "committed_at": None,
        "user": user.pk,
        "committed_by": None,
        "group_assignments": [],
        "environment_feature_versions": [],
        "change_sets": [],
        "ignore_conflicts": True,
    }


def test_retrieve__draft__all_fields(
    admin: APIClient, propose: Callable[..., Any], environment: Environment, user: FFAdminUser
) -> None:
    created = propose()
    answer = admin.get(f"{REQUESTS}{created['id']}/")
    assert answer.status_code == 200
    assert list(answer.json()) == [
        "id",
        "created_at",
        "updated_at",
        "environment",
        "title",
        "description",
        "feature_states",
        "user",
        "committed_at",
        "committed_by",
        "deleted_at",
        "approvals",
        "is_approved",
        "is_committed",
        "group_assignments",
        "environment_feature_versions",
        "segments",
        "change_sets",
        "conflicts",
        "ignore_conflicts",
    ]
    retrieved = answer.json()
    assert {name: retrieved[name] for name in created} == created
    assert retrieved["is_approved"] is True
    assert retrieved["is_committed"] is False
    assert (retrieved["segments"], retrieved["conflicts"]) == ([], [])


def test_draft__omitted_fields__copied_from_the_live_state(
    propose: Callable[..., Any], environment: Environment, feature: Feature, state: FeatureState
) -> None:
    option = MultivariateFeatureOption.objects.create(feature=feature, string_value="a")
    state.multivariate_feature_state_values.create(multivariate_feature_option=option, percentage_allocation=40)
    state.feature_state_value.value = 7
    state.feature_state_value.save()
    (shown,) = propose({"feature": feature.pk, "enabled": True})["feature_states"]
    assert shown["enabled"] is True
    assert shown["feature_state_value"] == {**text(None), "type": "int", "integer_value": 7}
    (share,) = shown["multivariate_feature_state_values"]
    assert (share["multivariate_feature_option"], share["percentage_allocation"]) == (option.pk, 40)
    assert shown["live_from"] is None


@pytest.mark.django_db(transaction=True)
def test_draft__all_other_endpoints__not_shown(
    admin: APIClient,
    propose: Callable[..., Any],
    environment: Environment,
    feature: Feature,
    state: FeatureState,
    segment: Segment,
    flags: Callable[[], Any],
) -> None:
    feature_segment = FeatureSegment.objects.create(feature=feature, environment=environment, segment=segment)
    key = EnvironmentAPIKey.objects.create(environment=environment, name="k").key
    Identity.objects.create(environment=environment, identifier="u1")
    feature_states = f"/api/v1/features/featurestates/?environment={environment.pk}"
    environment_path = f"/api/v1/environments/{environment.api_key}/"
    project_path = f"/api/v1/projects/{environment.project_id}/"
    paths = (
        f"{environment_path}featurestates/",
        f"{environment_path}featurestates/?feature={feature.pk}",
        f"{environment_path}featurestates/?anyIdentity=1",
        feature_states,
        f"{feature_states}&feature_segment={feature_segment.pk}",
        f"{environment_path}metrics/",
        f"{project_path}features/?environment={environment.pk}&segment={segment.pk}",
        f"{project_path}features/?environment={environment.pk}&is_enabled=true",
        f"{project_path}features/?environment={environment.pk}&value_search=new",
        f"{project_path}segments/{segment.pk}/associated-features/",
    )

    def read() -> list[Any]:
        sdk = APIClient()
        identity = sdk.get("/api/v1/identities/?identifier=u1", headers={"X-Environment-Key": environment.api_key})
        document = sdk.get("/api/v1/environment-document/", headers={"X-Environment-Key": key})
        return [flags(), identity.json(), document.json(), *(admin.get(path).json() for path in paths)]

    before = read()
    with recorded_events(environment) as events:
        created = propose(
            {"feature": feature.pk, "enabled": True, "feature_state_value": text("new")},
            {
                "feature": feature.pk,
                "feature_segment": feature_segment.pk,
                "enabled": True,
                "feature_state_value": text("new"),
            },
        )
        answer = admin.put(f"{REQUESTS}{created['id']}/", {**created, "title": "u"}, "json")
        assert answer.status_code == 200, answer.content
        assert read() == before
        assert events.of(environment) == []
    for shown in created["feature_states"]:
        assert admin.get(f"{environment_path}featurestates/{shown['id']}/").status_code == 404
        assert admin.patch(f"/api/v1/features/featurestates/{shown['id']}/", {}, "json").status_code == 404


def test_clone_environment__with_a_draft__draft_not_copied(
    admin: APIClient, propose: Callable[..., Any], environment: Environment
) -> None:
    propose()
    answer = admin.post(f"/api/v1/environments/{environment.api_key}/clone/", {"name": "copy"}, "json")
    assert answer.status_code == 200
    assert FeatureState.objects.filter(environment=answer.json()["id"], version=None).count() == 0
    assert ChangeRequest.objects.filter(environment=answer.json()["id"]).count() == 0


def test_edit__unchanged_object__nothing_changes(admin: APIClient, propose: Callable[..., Any]) -> None:
    created = propose()
    path = f"{REQUESTS}{created['id']}/"
    before = admin.get(path).json()
    answer = admin.put(path, before, "json")
    assert answer.status_code == 200, answer.content
    assert list(answer.json()) == CREATED
    assert admin.get(path).json() == {**before, "updated_at": answer.json()["updated_at"]}


def test_edit__states__kept_changed_added_and_removed(
    admin: APIClient,
    propose: Callable[..., Any],
    make_feature: Callable[..., Feature],
    feature: Feature,
    override: FeatureSegment,
) -> None:
    second, third = make_feature("second"), make_feature("third")
    created = propose({"feature": feature.pk, "enabled": True}, {"feature": second.pk, "enabled": True})
    first_id = created["feature_states"][0]["id"]
    later = in_a(days=1)
    states = [
        {"feature": third.pk, "enabled": True},
        {"feature": feature.pk, "feature_state_value": text("edited"), "live_from": later},
        {"feature": feature.pk, "feature_segment": {"id": override.pk, "segment": 1}, "enabled": False},
    ]
    answer = admin.patch(f"{REQUESTS}{created['id']}/", {"feature_states": states}, "json")
    assert answer.status_code == 200, answer.content
    shown = answer.json()["feature_states"]
    assert [(each["feature"], each["feature_segment"], each["enabled"]) for each in shown] == [
        (third.pk, None, True),
        (feature.pk, None, True),
        (feature.pk, override.pk, False),
    ]
    assert shown[1]["id"] == first_id
    assert shown[1]["feature_state_value"] == text("edited")
    assert shown[1]["live_from"][:19] == later[:19]
    assert shown[2]["feature_state_value"]["string_value"] == "segment's"
    assert FeatureState.objects.filter(version=None).count() == 3
    assert PlannedChange.objects.count() == 3


def test_edit__shares__replaced(admin: APIClient, propose: Callable[..., Any], feature: Feature) -> None:
    options = [MultivariateFeatureOption.objects.create(feature=feature, string_value=name) for name in "ab"]

    def shares(*percentages: float) -> list[dict[str, Any]]:
        return [
            {"multivariate_feature_option": option.pk, "percentage_allocation": percentage}
            for option, percentage in zip(options, percentages, strict=True)
        ]

    created = propose({"feature": feature.pk, "multivariate_feature_state_values": shares(10, 20)})
    states = [{"feature": feature.pk, "multivariate_feature_state_values": shares(30, 40)}]
    answer = admin.patch(f"{REQUESTS}{created['id']}/", {"feature_states": states}, "json")
    retrieved = answer.json()["feature_states"][0]["multivariate_feature_state_values"]
    assert [share["percentage_allocation"] for share in retrieved] == [30, 40]


def test_edit__reviewers__replaced(
    admin: APIClient, propose: Callable[..., Any], user: FFAdminUser, member_user: FFAdminUser
) -> None:
    created = propose(approvals=[{"user": member_user.pk}])
    answer = admin.patch(f"{REQUESTS}{created['id']}/", {"approvals": [{"user": user.pk}, {"user": user.pk}]}, "json")
    assert [approval["user"] for approval in answer.json()["approvals"]] == [user.pk]


def test_list__filters__applied(
    admin: APIClient,
    listing: str,
    propose: Callable[..., Any],
    schedule: Callable[..., Any],
    make_feature: Callable[..., Feature],
    feature: Feature,
    override: FeatureSegment,
) -> None:
    draft = propose(title="A draft")["id"]
    segment_override = propose({"feature": feature.pk, "feature_segment": override.pk}, title="Of a segment")["id"]
    live = propose(title="Live")["id"]
    admin.post(f"{REQUESTS}{live}/commit/")
    second = make_feature("second")
    scheduled = schedule(in_a(days=1), second)["id"]

    def ids(query: str = "") -> list[int]:
        answer = admin.get(f"{listing}?{query}")
        assert answer.status_code == 200, answer.content
        return [item["id"] for item in answer.json()["results"]]

    now = in_a(seconds=0).replace("+", "%2B")
    assert ids() == [scheduled, live, segment_override, draft]
    assert ids("committed=false") == [segment_override, draft]
    assert ids("committed=true") == [scheduled, live]
    assert ids(f"committed=true&live_from_after={now}") == [scheduled]
    assert ids("search=DRAFT") == [draft]
    assert ids(f"feature_id={second.pk}") == [scheduled]
    assert ids(f"segment_id={override.segment_id}") == [segment_override]
    assert ids("committed=&search=&feature_id=") == ids()
    assert ids("page_size=1") == [scheduled]


def test_list__item__in_flagsmiths_format(admin: APIClient, listing: str, schedule: Callable[..., Any]) -> None:
    later = in_a(days=1)
    created = schedule(later)
    answer = admin.get(listing).json()
    (item,) = answer.pop("results")
    assert answer == {"count": 1, "next": None, "previous": None}
    live_from = item.pop("live_from")
    assert live_from[:19] == later[:19]
    names = ("id", "created_at", "updated_at", "title", "description", "user", "committed_at", "committed_by")
    assert item == {
        **{name: created[name] for name in names},
        "deleted_at": None,
        "environment_feature_versions": [],
        "ignore_conflicts": False,
    }
