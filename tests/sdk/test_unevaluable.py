"""Conditions and traits that cannot be evaluated: the condition is not met, and flags are served."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from environment_documents import document
from environment_documents.cache import CompiledDocument
from environments.models import Environment
from features.models import Feature, FeatureState
from realtime.evaluation import Identity, IdentityTrait
from segments.models import Condition, Segment, SegmentRule
from tests.sdk import generated

pytestmark = pytest.mark.django_db

UNEVALUABLE = (
    ("REGEX", "plan", "("),
    ("REGEX", "plan", "a{99999999999}"),
    ("REGEX", "plan", "(" * 600),
    ("REGEX", "plan", "*"),
    ("MODULO", "age", "0|0"),
    ("MODULO", "age", "0.0|1"),
    ("IN", "plan", "[" * 1_000),
    ("EQUAL", "$.identity[?unknown(@)]", "x"),
    ("IS_NOT_SET", "$.identity[?@.a == $..b]", ""),
    ("GREATER_THAN", "plan", "x:semver"),
    ("EQUAL", "plan", "1.2:semver"),
    ("LIKE", "plan", "pro"),
)


def values(client: APIClient, **traits: Any) -> list[Any]:
    body = {"identifier": "ada", "traits": [{"trait_key": key, "trait_value": each} for key, each in traits.items()]}
    response = client.post("/api/v1/identities/", body)
    assert response.status_code == 200
    return [flag["feature_state_value"] for flag in response.json()["flags"]]


@pytest.mark.parametrize("operator, prop, value", UNEVALUABLE)
def test_condition__cannot_be_evaluated__not_met_and_others_evaluated(
    operator: str,
    prop: str,
    value: str,
    sdk: APIClient,
    feature: Feature,
    segment: Segment,
    override: Callable[..., FeatureState],
) -> None:
    override(feature, "professional", segment)
    rule = SegmentRule.objects.get(rule__isnull=False)
    # First in the order, because the engine stops at the first condition that is met.
    rule.conditions.all().delete()
    Condition.objects.create(rule=rule, operator=operator, property=prop, value=value)
    Condition.objects.create(rule=rule, operator="EQUAL", property="plan", value="pro")
    assert values(sdk, plan="free", age=4) == [None]
    assert values(sdk, plan="pro", age=4) == ["professional"]


@pytest.mark.parametrize("kind", ["SOME", ""])
def test_rule__of_unknown_type__not_met(
    kind: str, sdk: APIClient, feature: Feature, segment: Segment, override: Callable[..., FeatureState]
) -> None:
    override(feature, "professional", segment)
    SegmentRule.objects.filter(rule__isnull=False).update(type=kind)
    assert values(sdk, plan="pro") == [None]


def test_segment__without_rules__has_no_identity(
    sdk: APIClient, feature: Feature, segment: Segment, override: Callable[..., FeatureState]
) -> None:
    override(feature, "professional", segment)
    segment.rules.all().delete()
    assert values(sdk, plan="pro") == [None]


def test_segment__raises_for_a_trait__left_out_and_others_evaluated(
    sdk: APIClient,
    environment: Environment,
    make_feature: Callable[..., Feature],
    segment: Segment,
    override: Callable[..., FeatureState],
) -> None:
    dividing = Segment.objects.create(name="even", project=segment.project)
    rule = SegmentRule.objects.create(segment=dividing, type="ALL")
    Condition.objects.create(rule=rule, operator="MODULO", property="age", value="2|0")
    one, two, three = (make_feature(name) for name in ("one", "two", "three"))
    override(one, "even", dividing)
    override(two, "professional", segment)
    override(three, "hers", identity=environment.identities.create(identifier="ada"))
    assert values(sdk, plan="pro", age=4) == ["even", "professional", "hers"]
    # Some SDKs send numbers as strings.
    assert values(sdk, plan="pro", age="9" * 1_000) == [None, "professional", "hers"]


def test_segments__raise_only_together__left_out(
    sdk: APIClient,
    environment: Environment,
    make_feature: Callable[..., Feature],
    segment: Segment,
    override: Callable[..., FeatureState],
) -> None:
    """Each segment can be evaluated alone. Together, one reads the flag that the other overrides."""
    reading = Segment.objects.create(name="reading", project=segment.project)
    rule = SegmentRule.objects.create(segment=reading, type="ALL")
    Condition.objects.create(rule=rule, operator="EQUAL", property="$.flags.one.value", value="1")
    one, two, three = (make_feature(name) for name in ("one", "two", "three"))
    override(one, "9" * 5_000, segment)
    override(two, "read", reading)
    override(three, "hers", identity=environment.identities.create(identifier="ada"))
    assert values(sdk, plan="pro") == [None, None, "hers"]
    assert values(sdk, plan="free") == [None, None, "hers"]


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
ANY_CONDITION = st.fixed_dictionaries(
    {
        "operator": st.sampled_from(Condition.Operator.values),
        "property": st.one_of(st.none(), st.sampled_from(generated.PROPERTIES), TEXT, TEXT.map("$.{}".format)),
        "value": st.one_of(
            generated.CONDITION_VALUES,
            TEXT,
            TEXT.map("[{}".format),
            TEXT.map("{}:semver".format),
            st.text("()[]{}*+?|\\^$.,0123456789abcP<>=!:-", max_size=12),
            st.text("0123456789", min_size=300, max_size=400),
            st.tuples(st.floats(), st.floats()).map("{0[0]}|{0[1]}".format),
        ),
    }
)
ANY_TRAIT = st.one_of(
    generated.TRAIT_VALUES,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXT,
    st.text("0123456789", min_size=300, max_size=2_000),
)


@pytest.fixture
def overridden(feature: Feature, segment: Segment, override: Callable[..., FeatureState]) -> Segment:
    """A segment that overrides a flag."""
    override(feature, "professional", segment)
    return segment


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    conditions=st.lists(ANY_CONDITION, min_size=1, max_size=4),
    kind=st.sampled_from(("ALL", "ANY", "NONE")),
    traits=st.dictionaries(st.sampled_from(generated.TRAITS), ANY_TRAIT),
)
def test_flags__any_condition_and_trait__served(
    conditions: list[dict[str, Any]], kind: str, traits: dict[str, Any], environment: Environment, overridden: Segment
) -> None:
    rule = SegmentRule.objects.get(segment=overridden)
    SegmentRule.objects.filter(pk=rule.pk).update(type=kind)
    Condition.objects.all().delete()
    Condition.objects.bulk_create(Condition(rule=rule, **condition) for condition in conditions)
    compiled = CompiledDocument(document.build(document.read_environment_row(environment.pk)))
    identity = Identity("ada", traits={key: IdentityTrait(None, key, value, False) for key, value in traits.items()})
    flags = compiled.environment.identity_flags(identity, server_side=True)
    assert [flag.state.feature["name"] for flag in flags] == ["banner"]
    assert flags[0].value in (None, "professional")
