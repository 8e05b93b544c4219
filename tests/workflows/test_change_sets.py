"""Change sets: the removal and the order of segment overrides in a change request."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils.dateparse import parse_datetime
from rest_framework.test import APIClient

from audit.models import AuditLog
from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState
from features.workflows.core import scheduler
from features.workflows.core.models import ChangeRequest, ChangeSet
from segments.models import Segment
from tests.features.conftest import events, make_override, make_segment  # noqa: F401
from tests.workflows.conftest import REQUESTS, in_a, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def overrides(feature: Feature, make_override: Callable[..., FeatureSegment]) -> dict[str, FeatureSegment]:  # noqa: F811
    """Three overrides, in this order."""
    return {name: make_override(feature, name, place) for place, name in enumerate(("first", "second", "third"))}


@pytest.fixture
def change_set(feature: Feature, overrides: dict[str, FeatureSegment]) -> Callable[..., dict[str, Any]]:
    """The body of a change set that removes and orders the overrides of these names."""

    def make(*, removed: str = "", order: str = "", **fields: Any) -> dict[str, Any]:
        return {
            "feature": feature.pk,
            "feature_states_to_create": [],
            "feature_states_to_update": [
                {"feature_segment": {"segment": overrides[name].segment_id, "priority": place}}
                for place, name in enumerate(order.split())
            ],
            "segment_ids_to_delete_overrides": [overrides[name].segment_id for name in removed.split()],
            "live_from": None,
            **fields,
        }

    return make


def names(feature: Feature) -> list[str]:
    return [each.segment.name for each in FeatureSegment.objects.filter(feature=feature).order_by("priority")]


@pytest.mark.django_db(transaction=True)
def test_change_set__committed__removed_and_reordered_with_one_event(
    admin: APIClient,
    creation: str,
    feature: Feature,
    environment: Environment,
    change_set: Callable[..., Any],
    events: list[str],  # noqa: F811
) -> None:
    wanted = change_set(removed="first", order="third second")
    state = {"feature": feature.pk, "enabled": True, "feature_state_value": text("new")}
    body = {"title": "t", "feature_states": [state], "change_sets": [wanted]}
    created = admin.post(creation, body, "json").json()
    assert created["change_sets"] == [wanted]
    assert admin.get(f"{REQUESTS}{created['id']}/").json()["change_sets"] == [wanted]
    assert names(feature) == ["first", "second", "third"]
    AuditLog.objects.all().delete()
    events.clear()
    before = environment.updated_at
    answer = admin.post(f"{REQUESTS}{created['id']}/commit/")
    assert answer.status_code == 200, answer.json()
    assert names(feature) == ["third", "second"]
    assert [each.priority for each in FeatureSegment.objects.all()] == [0, 1]
    environment.refresh_from_db()
    assert environment.updated_at > before
    assert events == [environment.api_key]
    logs = list(AuditLog.objects.order_by("pk").values_list("log", "is_system_event"))
    assert logs == [
        ("Flag state / Remote config updated for feature: banner by Change Request: t", True),
        ("Flag state / Remote config value deleted for feature 'banner' and segment 'first'", True),
        ("Segment overrides re-ordered for feature 'banner'.", True),
        ("Change Request: t committed", False),
    ]
    assert answer.json()["change_sets"] == [wanted]
    assert admin.delete(f"{REQUESTS}{created['id']}/").status_code == 400


def test_change_set__scheduled__applied_when_due(
    admin: APIClient,
    creation: str,
    listing: str,
    environment: Environment,
    feature: Feature,
    change_set: Callable[..., Any],
) -> None:
    body = {"title": "t", "feature_states": [], "change_sets": [change_set(removed="second", live_from=in_a(days=1))]}
    created = admin.post(creation, body, "json").json()
    [listed] = admin.get(f"{listing}?feature_id={feature.pk}").json()["results"]
    assert listed["live_from"] == created["change_sets"][0]["live_from"]
    assert admin.post(f"{REQUESTS}{created['id']}/commit/").status_code == 200
    assert names(feature) == ["first", "second", "third"]
    ChangeSet.objects.update(live_from=environment.created_date)
    ChangeRequest.objects.update(due_at=environment.created_date)
    assert scheduler.publish_next()
    assert names(feature) == ["first", "third"]
    assert ChangeRequest.objects.get().applied_at is not None


def test_change_set__overrides_changed_meanwhile__the_rest_is_applied(
    admin: APIClient,
    creation: str,
    feature: Feature,
    change_set: Callable[..., Any],
    overrides: dict[str, FeatureSegment],
    make_override: Callable[..., FeatureSegment],  # noqa: F811
) -> None:
    body = {"title": "t", "feature_states": [], "change_sets": [change_set(removed="first", order="third second")]}
    created = admin.post(creation, body, "json").json()
    for name in ("first", "third"):
        admin.delete(f"/api/v1/features/feature-segments/{overrides[name].pk}/")
    make_override(feature, "fourth", 7)
    assert admin.post(f"{REQUESTS}{created['id']}/commit/").status_code == 200
    assert names(feature) == ["second", "fourth"]


def test_change_set__override_is_a_draft_of_another_request__not_removed(
    admin: APIClient,
    creation: str,
    feature: Feature,
    change_set: Callable[..., Any],
    overrides: dict[str, FeatureSegment],
) -> None:
    def draft() -> int:
        """A request for a new override of the first segment."""
        first = overrides["first"]
        wanted = {"feature": feature.pk, "segment": first.segment_id, "environment": first.environment_id}
        segment = admin.post("/api/v1/features/feature-segments/", wanted, "json").json()["id"]
        state = {"feature": feature.pk, "feature_segment": segment, "enabled": True}
        pk: int = admin.post(creation, {"title": "d", "feature_states": [state]}, "json").json()["id"]
        return pk

    removal = {"title": "t", "feature_states": [], "change_sets": [change_set(removed="first")]}
    created = admin.post(creation, removal, "json").json()["id"]
    admin.delete(f"/api/v1/features/feature-segments/{overrides['first'].pk}/")
    drafted = draft()

    assert admin.post(f"{REQUESTS}{created}/commit/").status_code == 200
    assert "has no override" in admin.post(creation, removal, "json").content.decode()
    assert admin.post(f"{REQUESTS}{drafted}/commit/").status_code == 200
    assert "first" in names(feature)


def test_change_set__feature_deleted__400_and_nothing_changed(
    admin: APIClient, creation: str, feature: Feature, change_set: Callable[..., Any]
) -> None:
    body = {"title": "t", "feature_states": [], "change_sets": [change_set(removed="first")]}
    created = admin.post(creation, body, "json").json()
    assert admin.delete(f"/api/v1/projects/{feature.project_id}/features/{feature.pk}/").status_code == 204
    answer = admin.post(f"{REQUESTS}{created['id']}/commit/")
    assert (answer.status_code, answer.json()["detail"]) == (400, "The feature banner no longer exists.")


def test_change_set__edited__until_it_is_approved(
    admin: APIClient, approver: APIClient, creation: str, change_set: Callable[..., Any]
) -> None:
    body = {"title": "t", "feature_states": [], "change_sets": [change_set(removed="first")]}
    path = f"{REQUESTS}{admin.post(creation, body, 'json').json()['id']}/"
    other = [change_set(order="third")]
    assert admin.patch(path, {"change_sets": other}, "json").json()["change_sets"] == other
    assert admin.patch(path, {"title": "u", "change_sets": None}, "json").json()["change_sets"] == other
    assert approver.post(f"{path}approve/").status_code == 200
    assert admin.patch(path, {"change_sets": other}, "json").status_code == 200
    assert admin.patch(path, {"change_sets": []}, "json").status_code == 400
    assert admin.delete(path).status_code == 204
    assert not ChangeSet.objects.exists()


def test_change_set__sent_back_unchanged__accepted_if_overrides_or_names_changed(
    admin: APIClient,
    approver: APIClient,
    creation: str,
    change_set: Callable[..., Any],
    overrides: dict[str, FeatureSegment],
) -> None:
    body = {"title": "t", "feature_states": [], "change_sets": [change_set(removed="first second", order="third")]}
    created = admin.post(creation, body, "json").json()
    path = f"{REQUESTS}{created['id']}/"
    assert admin.delete(f"/api/v1/features/feature-segments/{overrides['first'].pk}/").status_code == 204
    overrides["second"].segment.delete()
    later = [{**created["change_sets"][0], "live_from": in_a(days=1)}]
    answer = admin.patch(path, {"change_sets": later}, "json")
    assert answer.status_code == 200, answer.json()
    [stored] = ChangeSet.objects.all()
    assert [each["name"] for each in stored.removed] == ["first", "second"]
    Segment.objects.filter(name="third").update(name="renamed")
    assert approver.post(f"{path}approve/").status_code == 200
    answer = admin.put(path, {**answer.json(), "title": "u"}, "json")
    assert (answer.status_code, answer.json()["title"]) == (200, "u")
    # Another request cannot remove an override that is gone.
    assert admin.post(creation, {**body, "title": "v"}, "json").status_code == 400


def test_change_set__goes_live__conflict_of_other_requests_for_the_override(
    admin: APIClient,
    creation: str,
    feature: Feature,
    change_set: Callable[..., Any],
    overrides: dict[str, FeatureSegment],
) -> None:
    def create(states: str = "", **sets: str) -> int:
        wanted = [
            {"feature": feature.pk, "feature_segment": overrides[name].pk, "enabled": False} for name in states.split()
        ]
        body = {"title": "t", "feature_states": wanted, "change_sets": [change_set(**sets)] if sets else []}
        pk: int = admin.post(creation, body, "json").json()["id"]
        return pk

    def conflicts(pk: int) -> list[tuple[int, str]]:
        listed = admin.get(f"{REQUESTS}{pk}/").json()["conflicts"]
        assert all(each["published_at"] and not each["is_environment_default"] for each in listed)
        names = {each.segment_id: name for name, each in overrides.items()}
        return [(each["original_cr_id"], names[each["segment_id"]]) for each in listed]

    of_state, of_order, other = create("first"), create(order="first second"), create("third")
    removal, state = create(removed="first"), create("second")
    assert conflicts(of_state) == conflicts(of_order) == []
    for pk in (removal, state):
        assert admin.post(f"{REQUESTS}{pk}/commit/").status_code == 200
    assert conflicts(of_state) == [(removal, "first")]
    assert conflicts(of_order) == [(state, "second"), (removal, "first")]
    assert conflicts(other) == conflicts(removal) == []


@pytest.mark.database
def test_list__change_sets_with_times_and_segments__considered(
    admin: APIClient,
    creation: str,
    listing: str,
    feature: Feature,
    change_set: Callable[..., Any],
    overrides: dict[str, FeatureSegment],
) -> None:
    def create(title: str, state_live_from: str | None, **sets: Any) -> None:
        state = {"feature": feature.pk, "enabled": True, "live_from": state_live_from}
        body = {"title": title, "feature_states": [state], "change_sets": [change_set(**sets)]}
        assert admin.post(creation, body, "json").status_code == 201

    def titles(query: str) -> list[str]:
        return [each["title"] for each in admin.get(f"{listing}?{query}").json()["results"]]

    soon, late = in_a(days=1), in_a(days=3)
    create("state first", soon, removed="first", live_from=late)
    create("set first", late, order="second first", live_from=soon)
    create("state only", soon, removed="second")
    create("set only", None, removed="third", live_from=soon)
    times = {each["title"]: each["live_from"] for each in admin.get(listing).json()["results"]}
    assert len(set(times.values())) == 1
    assert {parse_datetime(time) for time in times.values()} == {parse_datetime(soon)}
    pks = {name: each.segment_id for name, each in overrides.items()}
    assert titles(f"segment_id={pks['first']}") == ["set first", "state first"]
    assert titles(f"segment_id={pks['second']}") == ["state only", "set first"]
    assert titles(f"segment_id={pks['third']}") == ["set only"]
    assert titles(f"segment_id={pks['third']}0") == titles(f"live_from_after={in_a(days=2)[:19]}Z") == []


def test_change_set__invalid__400_names_the_field(
    admin: APIClient,
    creation: str,
    change_set: Callable[..., Any],
    segment: Segment,
    overrides: dict[str, FeatureSegment],
) -> None:
    place = {"feature_segment": {"segment": overrides["first"].segment_id, "priority": 1}}
    for wrong, error in (
        ({"segment_ids_to_delete_overrides": [segment.pk]}, "has no override of this feature"),
        ({"feature_states_to_update": [{"feature_segment": {"segment": 999, "priority": 1}}]}, "has no override"),
        ({"feature_states_to_update": [place, place]}, "more than once"),
        ({"feature_states_to_update": [{**place, "enabled": True}]}, "Send states in feature_states"),
        ({"feature_states_to_create": [{}]}, "Send states in feature_states"),
    ):
        body = {"title": "t", "feature_states": [], "change_sets": [change_set(**wrong)]}
        answer = admin.post(creation, body, "json")
        assert answer.status_code == 400
        assert error in answer.content.decode()
        assert next(iter(wrong)) in answer.json()["change_sets"][0]
    twice = {"title": "t", "feature_states": [], "change_sets": [change_set(), change_set()]}
    assert "already" in admin.post(creation, twice, "json").content.decode()
    assert not ChangeRequest.objects.exists()


def test_environment__deleted_with_a_change_set__gone(
    admin: APIClient, creation: str, environment: Environment, change_set: Callable[..., Any]
) -> None:
    body = {"title": "t", "feature_states": [], "change_sets": [change_set(removed="first")]}
    assert admin.post(creation, body, "json").status_code == 201
    assert admin.delete(f"/api/v1/environments/{environment.api_key}/").status_code == 204
    assert not ChangeSet.objects.exists()
    assert not FeatureState.objects.filter(environment=environment).exists()
