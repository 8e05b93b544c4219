"""``environments/{api_key}/evaluate/``: the flags of an identity or a set of traits, and the rule that gave each."""

from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment, UserEnvironmentPermission
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from projects.models import Project, UserProjectPermission
from segments.models import Condition, Segment, SegmentRule
from tests.identities.test_overrides import MakeFeature, override, split
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db

PRO = [{"trait_key": "plan", "trait_value": "pro"}]


@pytest.fixture
def evaluate_path(environment: Environment) -> str:
    return f"/api/v1/environments/{environment.api_key}/evaluate/"


def add_segment_override(
    environment: Environment, feature: Feature, segment: Segment, priority: int, value: str
) -> None:
    place = FeatureSegment.objects.create(environment=environment, feature=feature, segment=segment, priority=priority)
    state = FeatureState.objects.create(environment=environment, feature=feature, feature_segment=place, enabled=True)
    FeatureStateValue.objects.create(feature_state=state, value=value)


def evaluated(client: APIClient, path: str, **body: Any) -> dict[str, Any]:
    """The explained flags by feature name."""
    response = client.post(path, body, format="json")
    assert response.status_code == 200, response.json()
    return {flag["feature"]["name"]: flag for flag in response.json()}


def test_evaluate__each_kind_of_rule__named_with_the_value_of_the_sdk(
    admin: APIClient,
    client: Client,
    evaluate_path: str,
    environment: Environment,
    identity: Identity,
    make_feature: MakeFeature,
    project: Project,
    segment: Segment,
) -> None:
    names = ("default", "by_segment", "by_identity", "by_split")
    features = {name: make_feature(name) for name in names}
    everybody = Segment.objects.create(name="everybody", project=project)
    rule = SegmentRule.objects.create(segment=everybody, type=SegmentRule.Type.ALL)
    Condition.objects.create(rule=rule, operator=Condition.Operator.IS_SET, property="plan")
    add_segment_override(environment, features["by_segment"], everybody, 1, "for everybody")
    add_segment_override(environment, features["by_segment"], segment, 0, "for pro")
    override(identity, features["by_identity"], "own")
    Feature.objects.filter(pk=features["by_split"].pk).update(type="MULTIVARIATE")
    state = FeatureState.objects.get(environment=environment, feature=features["by_split"])
    split(features["by_split"], state, red=100.0)

    flags = evaluated(admin, evaluate_path, identifier="u1", traits=PRO)

    assert flags["default"]["overridden_by"] is None
    assert flags["default"]["segment_overrides"] == []
    chosen = flags["by_segment"]
    assert (chosen["overridden_by"], chosen["segment"]["name"]) == ("SEGMENT", "professionals")
    assert (chosen["default_enabled"], chosen["default_feature_state_value"]) == (False, None)
    assert [(each["segment"]["name"], each["matches"], each["is_applied"]) for each in chosen["segment_overrides"]] == [
        ("professionals", True, True),
        ("everybody", True, False),
    ]
    assert flags["by_identity"]["overridden_by"] == "IDENTITY"
    assert (flags["by_split"]["feature_state_value"], flags["by_split"]["split_weight"]) == ("red", 100.0)

    body = {"identifier": "u1", "traits": PRO, "transient": True}
    headers = {"X-Environment-Key": environment.api_key}
    sdk = client.post("/api/v1/identities/", body, content_type="application/json", headers=headers).json()["flags"]
    assert {each["feature"]["name"]: (each["enabled"], each["feature_state_value"]) for each in sdk} == {
        name: (each["enabled"], each["feature_state_value"]) for name, each in flags.items()
    }


def test_evaluate__nothing_is_stored(admin: APIClient, evaluate_path: str, feature: Feature) -> None:
    evaluated(admin, evaluate_path, identifier="new", traits=PRO)
    evaluated(admin, evaluate_path, traits=PRO)
    assert not Identity.objects.exists()
    assert not Trait.objects.exists()


def test_evaluate__disabled_flags_hidden__listed_as_hidden(
    admin: APIClient, evaluate_path: str, environment: Environment, feature: Feature
) -> None:
    assert not evaluated(admin, evaluate_path, identifier="u1")["banner"]["is_hidden"]
    path = f"/api/v1/environments/{environment.api_key}/"
    assert admin.patch(path, {"hide_disabled_flags": True}, format="json").status_code == 200
    assert evaluated(admin, evaluate_path, identifier="u1")["banner"]["is_hidden"]


def test_evaluate__stored_traits__only_with_the_permission_to_view_identities(
    member: APIClient,
    member_user: FFAdminUser,
    evaluate_path: str,
    environment: Environment,
    project: Project,
    identity: Identity,
    feature: Feature,
    segment: Segment,
) -> None:
    Trait.objects.create(identity=identity, trait_key="plan", string_value="pro")
    add_segment_override(environment, feature, segment, 0, "for pro")
    assert member.post(evaluate_path, {"identifier": "u1"}, format="json").status_code == 404
    in_project = UserProjectPermission.objects.create(user=member_user, project=project)
    in_project.permissions.add("VIEW_PROJECT")
    in_environment = UserEnvironmentPermission.objects.create(user=member_user, environment=environment)
    in_environment.permissions.add("VIEW_ENVIRONMENT")
    assert evaluated(member, evaluate_path, identifier="u1")["banner"]["feature_state_value"] is None
    in_environment.permissions.add("VIEW_IDENTITIES")
    assert evaluated(member, evaluate_path, identifier="u1")["banner"]["feature_state_value"] == "for pro"
