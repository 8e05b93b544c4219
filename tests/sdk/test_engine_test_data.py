"""Flagsmith's engine test data through the SDK API: stored as models, read by HTTP."""

import json
import re
from typing import Any

import pytest

from environments.identities.models import Identity
from environments.models import Environment, EnvironmentAPIKey
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from organisations.models import Organisation
from projects.models import Project
from realtime.evaluation import CompiledEnvironment
from segments.models import Condition, Segment, SegmentRule
from tests.evaluation.engine_cases import ENGINE_CASES, EngineCase
from tests.sdk.conftest import application

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

# A feature for each segment, which the segment enables: the SDK API has no list of an identity's segments.
MARKER = "segment: "


@pytest.mark.parametrize("case", ENGINE_CASES, ids=lambda case: case.name)
def test_identities__engine_test_data__flags_segments_reasons_and_variants_as_expected(case: EngineCase) -> None:
    client = application(store(case).key)
    document = CompiledEnvironment(client.get("/api/v1/environment-document/").json())
    if case.identity is None:
        flags = client.get("/api/v1/flags/").json()
        evaluated = list(document.evaluator.environment_flags.values())
    else:
        traits = [{"trait_key": key, "trait_value": value} for key, value in case.identity.trait_values.items()]
        body = {"identifier": case.identity.identifier, "traits": traits}
        flags = client.post("/api/v1/identities/", body).json()["flags"]
        evaluated = document.identity_flags(case.identity, server_side=True)
    own = {flag["feature"]["name"]: flag for flag in flags if not flag["feature"]["name"].startswith(MARKER)}
    expected = {name: (enabled, value, variant) for name, (enabled, value, variant, _) in case.flags.items()}
    assert {
        name: (flag["enabled"], flag["feature_state_value"], flag.get("variant")) for name, flag in own.items()
    } == expected
    markers = [flag for flag in flags if flag["feature"]["name"].startswith(MARKER)]
    names = [flag["feature"]["name"].removeprefix(MARKER) for flag in markers if flag["enabled"]]
    assert sorted(names) == sorted(case.segment_names)
    # The SDK API has no reasons. These are evaluated from its environment document.
    reasons = {flag.state.feature["name"]: flag.reason for flag in evaluated if flag.state.feature["name"] in own}
    # Percentages are floats in documents, and integers in the data.
    assert reasons == {name: re.sub(r"(weight=\d+)$", r"\1.0", flag[3]) for name, flag in case.flags.items()}


def store(case: EngineCase) -> EnvironmentAPIKey:
    """Store the case in a new organisation, and return a server-side key."""
    organisation = Organisation.objects.create(name="Engine")
    project = Project.objects.create(name="Engine", organisation=organisation)
    environment = Environment.objects.create(
        name=case.context["environment"]["name"],
        project=project,
        api_key=case.environment_key,
        use_identity_composite_key_for_hashing=case.identity_id is None,
    )
    if case.identity_id is not None and case.identity is not None:
        Identity.objects.create(pk=case.identity_id, environment=environment, identifier=case.identity.identifier)
    features = {name: _store_feature(environment, feature) for name, feature in case.features.items()}
    for index, each in enumerate(case.segments):
        segment = _store_segment(project, each)
        for override in each.get("overrides") or ():
            feature, options = features[override["name"]]
            _store_state(override, options, feature, environment, segment, override.get("priority", index))
        marker = Feature.objects.create(name=f"{MARKER}{segment.name}", project=project)
        default: dict[str, Any] = {"enabled": False, "value": None, "key": "0"}
        _store_state(default, [], marker, environment)
        _store_state({**default, "enabled": True}, [], marker, environment, segment)
    return EnvironmentAPIKey.objects.create(environment=environment, name="engine")


def _store_feature(environment: Environment, case: dict[str, Any]) -> tuple[Feature, list[MultivariateFeatureOption]]:
    variants = case.get("variants") or []
    kind = "MULTIVARIATE" if variants else "STANDARD"
    feature = Feature.objects.create(name=case["name"], project=environment.project, type=kind)
    options = []
    for variant in variants:
        option = MultivariateFeatureOption(feature=feature, key=variant.get("key"))
        option.value = variant["value"]
        option.save()
        options.append(option)
    _store_state(case, options, feature, environment)
    return feature, options


def _store_state(
    case: dict[str, Any],
    options: list[MultivariateFeatureOption],
    feature: Feature,
    environment: Environment,
    segment: Segment | None = None,
    priority: int = 0,
) -> None:
    scope: dict[str, Any] = {"feature": feature, "environment": environment}
    if segment is not None:
        scope["feature_segment"] = FeatureSegment.objects.create(**scope, segment=segment, priority=priority)
    state = FeatureState.objects.create(**scope, enabled=case["enabled"], mv_hashing_salt=int(case["key"]) or None)
    value = FeatureStateValue(feature_state=state)
    value.value = case["value"]
    value.save()
    for option, variant in zip(options, case.get("variants") or (), strict=False):
        MultivariateFeatureStateValue.objects.create(
            pk=variant["priority"],
            feature_state=state,
            multivariate_feature_option=option,
            percentage_allocation=variant["weight"],
        )


def _store_segment(project: Project, case: dict[str, Any]) -> Segment:
    pk = {"pk": int(case["key"])} if case["key"].isdigit() else {}
    segment = Segment.objects.create(**pk, name=case["name"], project=project)
    for rule in case["rules"]:
        _store_rule(rule, segment=segment)
    return segment


def _store_rule(case: dict[str, Any], **parent: Any) -> None:
    rule = SegmentRule.objects.create(**parent, type=case["type"])
    for condition in case.get("conditions") or ():
        value = condition["value"]
        Condition.objects.create(
            rule=rule,
            operator=condition["operator"],
            property=condition["property"],
            value=value if isinstance(value, str) else json.dumps(value),
        )
    for nested in case.get("rules") or ():
        _store_rule(nested, rule=rule)
