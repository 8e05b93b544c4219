"""``/api/__future__/environments/{api_key}/features/{feature}/``: reading and writing a flag in one request."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureState
from organisations.models import Organisation
from projects.models import Project
from segments.models import Segment
from tests.features.flag import Flag, text

# Events are published on commit.
pytestmark = pytest.mark.django_db(transaction=True)


def test_flag__new_feature__has_the_initial_value(
    admin: APIClient, environment: Environment, production: Environment, make_feature: Callable[..., Feature]
) -> None:
    for initial, value in (
        ("12", {"type": "integer", "value": "12"}),
        ("true", {"type": "boolean", "value": "true"}),
        ("x", text("x")),
        (None, None),
    ):
        flag = Flag(admin, environment, make_feature(f"f{initial}", initial_value=initial, default_enabled=True))
        assert flag.read() == {
            "environment_default": {"enabled": True, "value": value, "variants": []},
            "segment_overrides": [],
        }


def test_flag__default_patched__only_given_fields_change_with_one_event(
    flag: Flag, environment: Environment, events: list[str], logged: Callable[[], list[str]]
) -> None:
    response = flag.patch(environment_default={"enabled": True, "value": text("hello")})
    assert response["environment_default"] == {"enabled": True, "value": text("hello"), "variants": []}
    assert events == [environment.api_key]
    assert logged() == [
        "Flag state updated for feature: banner",
        "Remote config value updated for feature: banner",
    ]
    number = flag.patch(environment_default={"value": {"type": "integer", "value": "-5"}})
    assert number["environment_default"] == {
        "enabled": True,
        "value": {"type": "integer", "value": "-5"},
        "variants": [],
    }
    off = flag.patch(environment_default={"enabled": False})
    assert off["environment_default"]["value"] == {"type": "integer", "value": "-5"}
    assert off == flag.read()
    assert len(events) == 3
    sdk = APIClient(headers={"X-Environment-Key": environment.api_key}).get("/api/v1/flags/").json()
    assert [(each["enabled"], each["feature_state_value"]) for each in sdk] == [(False, -5)]


def test_flag__written_unchanged__no_event_and_no_audit_log(
    flag: Flag, segment: Segment, events: list[str], logged: Callable[[], list[str]]
) -> None:
    written = flag.patch(
        environment_default={"enabled": True, "value": text("v")},
        segment_overrides=[{"segment": {"id": segment.pk}, "priority": 3, "value": text("o")}],
    )
    events.clear()
    logged()
    unchanged: tuple[Any, ...] = (written, {}, {"environment_default": {}}, {"segment_overrides": []})
    for body in unchanged:
        assert flag.patch(**body) == written
    assert flag.put(**written) == written
    assert flag.put() == written
    assert (events, logged()) == ([], [])


@pytest.mark.database
def test_body__invalid__rejected_with_field_and_nothing_stored(
    flag: Flag,
    segment: Segment,
    organisation: Organisation,
    make_feature: Callable[..., Feature],
    events: list[str],
    project: Project,
) -> None:
    other_project = Project.objects.create(name="other", organisation=organisation)
    foreign = Segment.objects.create(name="foreign", project=other_project)
    special = Segment.objects.create(name="special", project=project, feature=make_feature("other"))
    ok = {"segment": {"id": segment.pk}}

    def default(**part: Any) -> Any:
        return flag.rejected("patch", {"environment_default": part})["environment_default"]

    def overrides(*parts: Any) -> Any:
        body = {"environment_default": {"enabled": True}, "segment_overrides": [*parts]}
        return flag.rejected("patch", body)["segment_overrides"]

    before = flag.read()
    events.clear()
    assert default(value={"type": "integer", "value": "1.5"}) == {"value": {"value": ["'1.5' is not a valid integer"]}}
    assert default(value={"type": "integer", "value": str(2**31)}) == {
        "value": {"value": ["'2147483648' is not a valid integer"]}
    }
    assert default(value={"type": "boolean", "value": "yes"})["value"]["value"][0].startswith(
        "'yes' is not a valid bool"
    )
    assert list(default(value={"type": "float", "value": "1"})["value"]) == ["type"]
    assert list(default(value={"type": "string"})["value"]) == ["value"]
    assert default(value=None) == {"value": ["This field may not be null."]}
    assert default(enabled="maybe") == {"enabled": ["Must be a valid boolean."]}
    assert overrides(ok, {"segment": {"id": foreign.pk}}) == [{}, {"segment": {"id": ["Segment not found."]}}]
    assert overrides({"segment": {"id": special.pk}})[0]["segment"]["id"][0].startswith("This segment is for feature")
    assert overrides(ok, ok) == [f"Duplicate segment: {segment.pk}."]
    assert overrides({"enabled": True}) == [{"segment": ["This field is required."]}]
    assert list(overrides({**ok, "priority": -1})[0]) == ["priority"]
    assert flag.rejected("patch", [1]) == ["Expected an object."]
    assert flag.rejected("put", "x") == ["Expected an object."]
    assert (flag.read(), events) == (before, [])


@pytest.mark.database
def test_flag__change_requests_enabled__reads_allowed_and_writes_409(
    flag: Flag, environment: Environment, segment: Segment, events: list[str]
) -> None:
    flag.patch(segment_overrides=[{"segment": {"id": segment.pk}, "enabled": True}])
    Environment.objects.filter(pk=environment.pk).update(minimum_change_request_approvals=0)
    before, published = flag.read(), len(events)
    body = {"environment_default": {"enabled": True}}
    for method in ("patch", "put"):
        error = flag.rejected(method, body, 409)
        assert error["code"] == "change_requests_enabled"
        assert error["detail"]
    answer = flag.client.delete(f"{flag.path}segment-overrides/{segment.pk}/")
    assert (answer.status_code, answer.json()["code"]) == (409, "change_requests_enabled")
    assert (flag.read(), len(events)) == (before, published)


def test_flag__not_found__404_names_the_missing_object(
    admin: APIClient, outsider: APIClient, flag: Flag, environment: Environment, feature: Feature
) -> None:
    def details(client: APIClient, key: str, pk: int) -> Any:
        answers = [
            client.generic(method, f"/api/__future__/environments/{key}/features/{pk}/{more}", "{}", "application/json")
            for method, more in (("GET", ""), ("PATCH", ""), ("PUT", ""), ("DELETE", "segment-overrides/1/"))
        ]
        assert [answer.status_code for answer in answers] == [404] * 4
        return {answer.json()["detail"] for answer in answers}

    assert details(admin, "unknown", feature.pk) == {"No Environment matches the given query."}
    assert details(admin, environment.api_key, feature.pk + 1) == {"No Feature matches the given query."}
    assert details(outsider, environment.api_key, feature.pk) == {"No Environment matches the given query."}
    FeatureState.objects.filter(feature=feature).delete()
    assert details(admin, environment.api_key, feature.pk) == {"No FeatureState matches the given query."}


def test_flag__member__each_part_needs_its_permission(
    member: APIClient,
    flag: Flag,
    environment: Environment,
    feature: Feature,
    segment: Segment,
    permit: Callable[..., None],
) -> None:
    of_member = Flag(member, environment, feature)
    default = {"environment_default": {"enabled": True}}
    override = {"segment_overrides": [{"segment": {"id": segment.pk}, "enabled": True}]}
    permit("VIEW_PROJECT")
    permit("VIEW_ENVIRONMENT", environment=environment)
    assert of_member.read() == flag.read()
    for body in (default, override, {}):
        of_member.rejected("patch", body, 403)
    permit("MANAGE_SEGMENT_OVERRIDES", environment=environment)
    of_member.rejected("patch", default, 403)
    of_member.rejected("put", {**default, **override}, 403)
    of_member.patch(**override)
    of_member.remove(segment.pk)
    given = environment.userpermission.get().permissions
    given.remove(given.get(key="MANAGE_SEGMENT_OVERRIDES"))
    permit("UPDATE_FEATURE_STATE", environment=environment)
    of_member.patch(**default)
    of_member.rejected("patch", override, 403)
    assert member.delete(f"{of_member.path}segment-overrides/{segment.pk}/").status_code == 403
