"""Two environments side by side, copies between them, many features at once, and a feature's history."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from audit.models import AuditLog
from environments.identities.models import Identity
from environments.models import Environment, UserEnvironmentPermission
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from features.workflows.core.models import ChangeRequest
from projects.models import Project
from tests.features.conftest import events  # noqa: F401
from tests.identities.test_overrides import split
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db

MakeFeature = Callable[..., Feature]


@pytest.fixture
def compare(project: Project) -> str:
    return f"/projects/{project.pk}/compare/"


def default(feature: Feature, environment: Environment) -> FeatureState:
    live = FeatureState.objects.filter(feature=feature, environment=environment, version__isnull=False)
    states = live.filter(identity=None, feature_segment=None)
    return states.select_related("feature_state_value").get()


def percentages(state: FeatureState) -> dict[str | None, float]:
    """The percentages of a state by the options' values."""
    shares = state.multivariate_feature_state_values.all()
    return dict(shares.values_list("multivariate_feature_option__string_value", "percentage_allocation"))


def change(browser: Client, feature: Feature, environment: Environment, value: str, *, enabled: bool = True) -> None:
    """Change the default as the feature's form does."""
    path = f"/projects/{feature.project_id}/environments/{environment.api_key}/features/{feature.pk}/"
    form = {"kind": "text", "value": value} | ({"enabled": "on"} if enabled else {})
    assert browser.post(path, form).status_code == 303


def test_compare__differences_only_or_all(
    browser: Client, compare: str, environment: Environment, production: Environment, make_feature: MakeFeature
) -> None:
    same, other, weights = make_feature("same"), make_feature("other"), make_feature("weights")
    change(browser, other, environment, "blue")
    Feature.objects.filter(pk=weights.pk).update(type="MULTIVARIATE")
    split(weights, default(weights, environment), red=30)
    split(weights, default(weights, production), red=40)
    page = browser.get(f"{compare}?first={environment.api_key}&second={production.api_key}").content.decode()
    assert ">other</a>" in page
    assert ">weights</a>" in page
    assert ">same</a>" not in page
    everything = browser.get(f"{compare}?show=all").content.decode()
    assert f">{same.name}</a>" in everything
    assert ">other</a>" not in browser.get(f"{compare}?search=weig").content.decode()
    assert browser.get(f"{compare}?search=%00&first=nothing&second=nothing").status_code == 200


def test_compare__null_or_other_line_ends__equal(
    browser: Client, compare: str, environment: Environment, production: Environment, make_feature: MakeFeature
) -> None:
    stored = {
        "null": ({"string_value": None}, {"string_value": ""}),
        "lines": ({"string_value": "a\r\nb"}, {"string_value": "a\nb"}),
        "kinds": ({"type": "int", "integer_value": 1}, {"type": "bool", "boolean_value": True}),
    }
    for name, values in stored.items():
        feature = make_feature(name)
        for place, columns in zip((environment, production), values, strict=True):
            FeatureStateValue.objects.filter(feature_state=default(feature, place)).update(**columns)
    page = browser.get(compare).content.decode()
    assert [name for name in stored if f">{name}</a>" in page] == ["kinds"]
    assert page.count("/copy/") == 2
    assert browser.get(f"{compare}?show=all").content.decode().count("/copy/") == 2


def test_copy__state_value_and_weights__in_the_audit_log(
    browser: Client, compare: str, environment: Environment, production: Environment, feature: Feature
) -> None:
    FeatureState.objects.get_or_create(feature=feature, environment=production)
    Feature.objects.filter(pk=feature.pk).update(type="MULTIVARIATE")
    split(feature, default(feature, environment), red=30)
    split(feature, default(feature, production), red=0)
    change(browser, feature, environment, "blue")
    form = {"from": environment.api_key, "to": production.api_key}
    response = browser.post(f"{compare}{feature.pk}/copy/", form, follow=True)
    assert "banner is in Production as in Development." in response.content.decode()
    copied = default(feature, production)
    assert (copied.enabled, copied.feature_state_value.value) == (True, "blue")
    assert copied.multivariate_feature_state_values.get().percentage_allocation == 30
    assert AuditLog.objects.filter(environment=production, author__email="admin@example.com").exists()


def test_copy__target_needs_approval__proposed(
    browser: Client, compare: str, environment: Environment, production: Environment, make_feature: MakeFeature
) -> None:
    feature = make_feature()
    change(browser, feature, environment, "blue")
    Environment.objects.filter(pk=production.pk).update(minimum_change_request_approvals=1)
    response = browser.post(
        f"{compare}{feature.pk}/copy/", {"from": environment.api_key, "to": production.api_key}, follow=True
    )
    request = ChangeRequest.objects.get(environment=production)
    assert response.redirect_chain[0][0].endswith(f"{production.api_key}/change-requests/{request.pk}/")
    assert "blue" in response.content.decode()
    assert not default(feature, production).enabled


@pytest.mark.parametrize("approvals", [None, 0])
@pytest.mark.parametrize("overrides", [{}, {"overrides": "on"}])
def test_copy__options_without_shares__zero_percent_and_equal(
    overrides: dict[str, str],
    approvals: int | None,
    browser: Client,
    admin: APIClient,
    compare: str,
    environment: Environment,
    production: Environment,
    make_feature: MakeFeature,
) -> None:
    """An import adds options without shares in the other environments."""
    one, none = make_feature("one"), make_feature("none")
    Feature.objects.update(type="MULTIVARIATE")
    split(one, default(one, environment), red=30)
    for feature in (one, none):
        split(feature, default(feature, production), red=20, blue=10)
    Environment.objects.filter(pk=production.pk).update(minimum_change_request_approvals=approvals)
    for feature in (one, none):
        form = {"from": environment.api_key, "to": production.api_key, **overrides}
        assert "message error" not in browser.post(f"{compare}{feature.pk}/copy/", form, follow=True).content.decode()
    for request in ChangeRequest.objects.all():
        assert admin.post(f"/api/v1/features/workflows/change-requests/{request.pk}/commit/").status_code == 200
    assert [percentages(default(feature, production)) for feature in (one, none)] == [
        {"red": 30, "blue": 0},
        {"red": 0, "blue": 0},
    ]
    page = browser.get(compare).content.decode()
    assert ">one</a>" not in page
    assert ">none</a>" not in page
    assert "/copy/" not in browser.get(f"{compare}?show=all").content.decode()


@pytest.fixture
def overridden(
    admin: APIClient, environment: Environment, production: Environment, make_feature: MakeFeature, project: Project
) -> Feature:
    """A multivariate feature with the overrides "b" and "a" in Development, and "c" and "a" in Production."""
    feature = make_feature("banner")
    Feature.objects.filter(pk=feature.pk).update(type="MULTIVARIATE")
    split(feature, default(feature, environment), red=30)
    segments = {name: project.segments.create(name=name) for name in "abc"}
    option = feature.multivariate_options.get()
    for place, names in ((environment, "ba"), (production, "ca")):
        overrides = [
            {
                "segment": {"id": segments[name].pk},
                "enabled": True,
                "value": {"type": "string", "value": f"{name} in {place.name}"},
                "variants": [{"id": option.pk, "weight": priority}],
                "priority": priority,
            }
            for priority, name in enumerate(names)
        ]
        path = f"/api/__future__/environments/{place.api_key}/features/{feature.pk}/"
        assert admin.patch(path, {"segment_overrides": overrides}, "json").status_code == 200
    return feature


def overrides_in(feature: Feature, environment: Environment) -> list[tuple[str, bool, Any, list[float]]]:
    states = FeatureState.objects.filter(
        feature=feature, environment=environment, version__isnull=False, feature_segment__isnull=False
    )
    return [
        (
            state.feature_segment.segment.name,
            state.enabled,
            state.feature_state_value.value,
            [share.percentage_allocation for share in state.multivariate_feature_state_values.all()],
        )
        for state in states.order_by("feature_segment__priority")
        if state.feature_segment is not None
    ]


COPIED = [("b", True, "b in Development", [0]), ("a", True, "a in Development", [1])]


@pytest.mark.django_db(transaction=True)
def test_copy__with_overrides__as_in_the_other_environment_with_one_event(
    browser: Client,
    compare: str,
    environment: Environment,
    production: Environment,
    overridden: Feature,
    events: list[str],  # noqa: F811
) -> None:
    form = {"from": environment.api_key, "to": production.api_key}
    assert 'name="overrides"' in browser.get(f"{compare}?show=all").content.decode()
    browser.post(f"{compare}{overridden.pk}/copy/", form)
    assert [name for name, *_ in overrides_in(overridden, production)] == ["c", "a"]
    assert ">banner</a>" in browser.get(compare).content.decode()
    events.clear()
    AuditLog.objects.all().delete()
    browser.post(f"{compare}{overridden.pk}/copy/", {**form, "overrides": "on"})
    assert overrides_in(overridden, production) == COPIED
    assert events == [production.api_key]
    logs = AuditLog.objects.filter(environment=production, author__email="admin@example.com")
    assert "Flag state / Remote config value deleted for feature 'banner' and segment 'c'" in {
        each.log for each in logs
    }
    assert ">banner</a>" not in browser.get(compare).content.decode()


def test_copy__with_overrides_and_target_needs_approval__proposed_as_a_whole(
    browser: Client,
    admin: APIClient,
    compare: str,
    environment: Environment,
    production: Environment,
    overridden: Feature,
) -> None:
    before = overrides_in(overridden, production)
    Environment.objects.filter(pk=production.pk).update(minimum_change_request_approvals=0)
    form = {"from": environment.api_key, "to": production.api_key, "overrides": "on"}
    page = browser.post(f"{compare}{overridden.pk}/copy/", form, follow=True).content.decode()
    assert "Override for c" in page
    assert overrides_in(overridden, production) == before
    request = ChangeRequest.objects.get(environment=production)
    assert admin.post(f"/api/v1/features/workflows/change-requests/{request.pk}/commit/").status_code == 200
    assert overrides_in(overridden, production) == COPIED
    assert ">banner</a>" not in browser.get(compare).content.decode()


def test_copy__overrides_without_their_permission__nothing_changed(
    viewer: Client,
    member_user: FFAdminUser,
    compare: str,
    environment: Environment,
    production: Environment,
    overridden: Feature,
) -> None:
    permissions = UserEnvironmentPermission.objects.create(user=member_user, environment=production)
    permissions.permissions.add("VIEW_ENVIRONMENT", "UPDATE_FEATURE_STATE")
    before = overrides_in(overridden, production)
    form = {"from": environment.api_key, "to": production.api_key, "overrides": "on"}
    page = viewer.post(f"{compare}{overridden.pk}/copy/", form, follow=True).content.decode()
    assert "You do not have permission" in page
    assert overrides_in(overridden, production) == before


def test_copy__viewer__403_and_nothing_changed(
    viewer: Client, browser: Client, compare: str, environment: Environment, feature: Feature
) -> None:
    own = {"from": environment.api_key, "to": environment.api_key}
    viewer.post(f"{compare}{feature.pk}/copy/", own)
    assert not AuditLog.objects.exists()
    hidden = {"from": environment.api_key, "to": "nothing"}
    assert viewer.post(f"{compare}{feature.pk}/copy/", hidden).status_code == 404


def test_many__switched_and_archived__all_or_none(
    browser: Client, viewer: Client, base_path: str, environment: Environment, make_feature: MakeFeature
) -> None:
    features = [make_feature(name) for name in ("one", "two", "three")]
    many = f"{base_path}features/many/"
    chosen = [str(each.pk) for each in features[:2]]
    assert 'form="many"' in browser.get(f"{base_path}features/").content.decode()
    assert 'form="many"' not in viewer.get(f"{base_path}features/").content.decode()
    page = browser.post(many, {"feature": chosen, "action": "on"}, follow=True).content.decode()
    assert "2 features are on." in page
    assert [default(each, environment).enabled for each in features] == [True, True, False]
    viewer.post(many, {"feature": chosen, "action": "off"})
    assert default(features[0], environment).enabled
    page = browser.post(many, {"feature": chosen[:1], "action": "archive"}, follow=True).content.decode()
    assert "1 feature is archived." in page
    assert Feature.objects.get(pk=features[0].pk).is_archived
    for wrong in ({"action": "on"}, {"feature": chosen, "action": "explode"}, {"feature": ["x"], "action": "on"}):
        assert "Choose features" in browser.post(many, wrong, follow=True).content.decode()


def test_many__needs_approval__one_change_request(
    browser: Client, base_path: str, environment: Environment, make_feature: MakeFeature
) -> None:
    features = [make_feature(name) for name in ("one", "two")]
    Environment.objects.filter(pk=environment.pk).update(minimum_change_request_approvals=1)
    form = {"feature": [str(each.pk) for each in features], "action": "on"}
    page = browser.post(f"{base_path}features/many/", form, follow=True).content.decode()
    assert ChangeRequest.objects.count() == 1
    assert "one" in page
    assert "two" in page
    assert not default(features[0], environment).enabled


def test_history__who_when_what_and_restored(
    browser: Client, base_path: str, environment: Environment, feature: Feature
) -> None:
    path = f"{base_path}features/{feature.pk}/history/"
    assert "Nothing has been changed." in browser.get(path).content.decode()
    change(browser, feature, environment, "red")
    change(browser, feature, environment, "blue", enabled=False)
    page = browser.get(path).content.decode()
    assert "Ada Admin" in page
    assert "string_value: <code>red</code> → <code>blue</code>" in page
    entries = AuditLog.objects.filter(environment=environment).order_by("pk")
    to_red = next(each for each in entries if {"string_value"} & {d["field"] for d in each.change_details})
    browser.post(f"{path}{to_red.pk}/restore/")
    restored = default(feature, environment)
    assert (restored.enabled, restored.feature_state_value.value) == (False, "red")
    to_on = next(each for each in entries if any(d["field"] == "enabled" and d["new"] for d in each.change_details))
    assert "Restored." in browser.post(f"{path}{to_on.pk}/restore/", follow=True).content.decode()
    restored = default(feature, environment)
    assert (restored.enabled, restored.feature_state_value.value) == (True, "red")
    assert browser.post(f"{path}999999/restore/").status_code == 404


def test_history__needs_approval__restoring_is_proposed(
    browser: Client, base_path: str, environment: Environment, feature: Feature
) -> None:
    change(browser, feature, environment, "red")
    entry = AuditLog.objects.filter(environment=environment).first()
    assert entry is not None
    change(browser, feature, environment, "blue", enabled=False)
    Environment.objects.filter(pk=environment.pk).update(minimum_change_request_approvals=1)
    browser.post(f"{base_path}features/{feature.pk}/history/{entry.pk}/restore/")
    assert ChangeRequest.objects.count() == 1
    assert not default(feature, environment).enabled


def entry_of(log: str, **fields: Any) -> AuditLog:
    """The newest entry with this text, and with a detail that has these fields."""
    return next(
        each
        for each in AuditLog.objects.filter(log__contains=log)
        if not fields or any(fields.items() <= detail.items() for detail in each.change_details)
    )


def test_history__percentages__shown_and_restored(
    browser: Client, admin: APIClient, base_path: str, environment: Environment, feature: Feature
) -> None:
    Feature.objects.filter(pk=feature.pk).update(type="MULTIVARIATE")
    state = default(feature, environment)
    split(feature, state, red=30, blue=20)
    red, blue = feature.multivariate_options.order_by("pk")
    path = f"/api/__future__/environments/{environment.api_key}/features/{feature.pk}/"
    for weight in (40, 50):
        variants = [{"id": red.pk, "weight": weight}, {"id": blue.pk, "weight": weight / 2}]
        assert admin.patch(path, {"environment_default": {"variants": variants}}, "json").status_code == 200
    history = f"{base_path}features/{feature.pk}/history/"
    assert "percentage of “red”: <code>30.0</code> → <code>40.0</code>" in browser.get(history).content.decode()
    browser.post(f"{history}{entry_of('Multivariate value', new=40.0).pk}/restore/")
    shares = state.multivariate_feature_state_values.order_by("pk")
    assert [share.percentage_allocation for share in shares.all()] == [40, 25]


@pytest.mark.django_db(transaction=True)
def test_history__overrides_changed_and_removed__restored_with_one_event(
    browser: Client,
    admin: APIClient,
    base_path: str,
    environment: Environment,
    overridden: Feature,
    events: list[str],  # noqa: F811
) -> None:
    before = overrides_in(overridden, environment)
    segment = FeatureSegment.objects.get(environment=environment, segment__name="a").segment_id
    path = f"/api/__future__/environments/{environment.api_key}/features/{overridden.pk}/"
    change = {"segment": {"id": segment}, "enabled": False, "value": {"type": "string", "value": "other"}}
    for body in (change, {**change, "value": {"type": "string", "value": "third"}}):
        assert admin.patch(path, {"segment_overrides": [body]}, "json").status_code == 200
    history = f"{base_path}features/{overridden.pk}/history/"
    browser.post(f"{history}{entry_of('Remote config updated for segment override', new='other').pk}/restore/")
    assert overrides_in(overridden, environment)[1][:3] == ("a", False, "other")

    for name, *_ in before:
        segment = FeatureSegment.objects.get(environment=environment, segment__name=name).segment_id
        assert admin.delete(f"{path}segment-overrides/{segment}/").status_code == 200
    assert overrides_in(overridden, environment) == []
    events.clear()
    AuditLog.objects.filter(log__contains="updated").delete()
    page = browser.post(f"{history}{entry_of('and segment ' + repr('b')).pk}/restore/")
    assert page.status_code == 303
    assert overrides_in(overridden, environment) == before[:1]
    assert events == [environment.api_key]
    assert AuditLog.objects.filter(log__contains="updated", author__email="admin@example.com").exists()


def test_history__removed_override_and_needs_approval__proposed(
    browser: Client, admin: APIClient, base_path: str, environment: Environment, overridden: Feature
) -> None:
    before = overrides_in(overridden, environment)
    for each in FeatureSegment.objects.filter(environment=environment):
        assert admin.delete(f"/api/v1/features/feature-segments/{each.pk}/").status_code == 204
    Environment.objects.filter(pk=environment.pk).update(minimum_change_request_approvals=0)
    history = f"{base_path}features/{overridden.pk}/history/"
    assert "Add the override again" in browser.get(history).content.decode()
    browser.post(f"{history}{entry_of('and segment ' + repr('b')).pk}/restore/")
    assert overrides_in(overridden, environment) == []
    request = ChangeRequest.objects.get()
    assert admin.post(f"/api/v1/features/workflows/change-requests/{request.pk}/commit/").status_code == 200
    assert overrides_in(overridden, environment) == before[:1]

    # The change request has replaced nothing here; the next one replaces this state, whose entry stays.
    went_live = entry_of("by Change Request", field="enabled")
    change = {"feature": overridden.pk, "enabled": False}
    state = FeatureState.objects.get(environment=environment, version__isnull=False, feature_segment__isnull=False)
    change["feature_segment"] = state.feature_segment_id
    creation = f"/api/v1/environments/{environment.api_key}/create-change-request/"
    other = admin.post(creation, {"title": "off", "feature_states": [change]}, "json").json()["id"]
    assert admin.post(f"/api/v1/features/workflows/change-requests/{other}/commit/").status_code == 200
    assert not FeatureState.objects.filter(pk=state.pk).exists()
    browser.post(f"{history}{went_live.pk}/restore/")
    newest = ChangeRequest.objects.latest("pk")
    assert newest.pk not in (request.pk, other)
    assert admin.post(f"/api/v1/features/workflows/change-requests/{newest.pk}/commit/").status_code == 200
    assert overrides_in(overridden, environment) == before[:1]


@pytest.mark.parametrize("approvals", [None, 0])
def test_history__removed_override_without_value_and_shares__restored_without_them(
    approvals: int | None,
    browser: Client,
    admin: APIClient,
    base_path: str,
    environment: Environment,
    overridden: Feature,
) -> None:
    change(browser, overridden, environment, "of everybody")
    override = FeatureState.objects.get(environment=environment, feature_segment__segment__name="b")
    FeatureStateValue.objects.filter(feature_state=override).update(string_value=None)
    override.multivariate_feature_state_values.all().delete()
    assert override.feature_segment is not None
    segment = override.feature_segment.segment_id
    path = f"/api/__future__/environments/{environment.api_key}/features/{overridden.pk}/"
    assert admin.delete(f"{path}segment-overrides/{segment}/").status_code == 200
    Environment.objects.filter(pk=environment.pk).update(minimum_change_request_approvals=approvals)
    Feature.objects.filter(pk=overridden.pk).update(initial_value="initial")
    restore = f"{base_path}features/{overridden.pk}/history/{entry_of('and segment ' + repr('b')).pk}/restore/"
    assert "message error" not in browser.post(restore, follow=True).content.decode()
    for request in ChangeRequest.objects.all():
        assert admin.post(f"/api/v1/features/workflows/change-requests/{request.pk}/commit/").status_code == 200
    [_, (name, enabled, value, shares)] = overrides_in(overridden, environment)
    assert (name, enabled, value or "", shares) == ("b", True, "", [0])


def test_history__segment_or_option_gone_or_identity__not_restorable(
    browser: Client,
    viewer: Client,
    member_user: FFAdminUser,
    admin: APIClient,
    base_path: str,
    environment: Environment,
    overridden: Feature,
) -> None:
    history = f"{base_path}features/{overridden.pk}/history/"
    [first, second] = FeatureSegment.objects.filter(environment=environment)
    for each in (first, second):
        assert admin.delete(f"/api/v1/features/feature-segments/{each.pk}/").status_code == 204
    removal = entry_of("and segment " + repr("b"))
    member_user.userprojectpermission_set.get().permissions.add("VIEW_AUDIT_LOG")
    assert "/restore/" not in viewer.get(history).content.decode()
    assert admin.delete(f"/api/v1/projects/{overridden.project_id}/segments/{first.segment_id}/").status_code == 204
    assert browser.post(f"{history}{removal.pk}/restore/").status_code == 404
    identity = Identity.objects.create(identifier="ada", environment=environment)
    body = {"feature": overridden.pk, "enabled": True, "feature_state_value": "mine"}
    path = f"/api/v1/environments/{environment.api_key}/identities/{identity.pk}/featurestates/"
    assert admin.post(path, body, "json").status_code == 201
    assert browser.post(f"{history}{entry_of('identity').pk}/restore/").status_code == 404


def test_history__without_view_audit_log__403(viewer: Client, base_path: str, feature: Feature) -> None:
    assert viewer.get(f"{base_path}features/{feature.pk}/history/").status_code == 403
    assert viewer.post(f"{base_path}features/{feature.pk}/history/1/restore/").status_code == 403
