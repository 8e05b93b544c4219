"""Hypothesis strategies for environments and identities, and functions that store them."""

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from environments.identities.models import Identity
from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from organisations.models import Organisation
from projects.models import Project
from realtime.evaluation.evaluability import condition_errors
from segments.models import Condition, Segment, SegmentRule

Value = str | int | bool | None

TRAITS = ("plan", "age", "version", "$odd")

# None that looks like a decimal number or begins with a zero: the SDK converts those to numbers, and then does not find
# the identity's overrides.
IDENTIFIERS = ("ada", "bob", "carol@example.com", "42", "-7", "Ünï", " spaced ")

PROPERTIES = (
    *TRAITS,
    *TRAITS,
    None,
    "",
    "unknown",
    "$.identity.identifier",
    "$.identity.key",
    "$.identity.traits.plan",
    "$.environment.name",
    "$.environment.key",
    "$.features.f1.value",
    "$.features.f0.enabled",
    "$.flags.f0.enabled",
    "$.flags.f1.value",
    "$.flags.f2.value",
    "$.nowhere",
    "$.[",
)

WORDS = ("pro", "free", "p", "", "5", "5.0", "-3", "17", "true", "False", "1.2.3", "2.0.0-beta", "Ünï", "a,b", "None")

VALUES: st.SearchStrategy[Value] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**31) + 1, 2**31 - 2),
    st.sampled_from(WORDS),
    st.text("ab1.[]{}", max_size=5),
)

PERCENTAGES = st.one_of(st.sampled_from((0.0, 33.3, 50.0, 100.0)), st.floats(0, 100))

CONDITION_VALUES = st.one_of(
    st.none(),
    st.sampled_from(WORDS),
    st.sampled_from(("1.2.3:semver", "10.0.0:semver", "x:semver", "2|0", "2|1", "7|3", "x|y", "0|0")),
    st.sampled_from((r"^p.*", "pro|free", r"\d+", "(", "[a-z]+@", ".", "^$")),
    st.lists(st.sampled_from(WORDS), max_size=3).map(",".join),
    st.lists(st.one_of(st.sampled_from(WORDS), st.integers(-5, 20)), max_size=3).map(json.dumps),
    st.floats(-10, 110).map(str),
    st.text("ab1.|[]\"'$:", max_size=6),
)


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    """A condition that the Admin API accepts."""
    operator = draw(st.sampled_from(Condition.Operator.values))
    properties = (None, "plan", "$.identity.identifier") if operator == "PERCENTAGE_SPLIT" else PROPERTIES
    return {"operator": operator, "property": draw(st.sampled_from(properties)), "value": draw(CONDITION_VALUES)}


CONDITIONS = conditions().filter(
    lambda each: not condition_errors(each["operator"], each["property"] or "", each["value"] or "")
)

INNER_RULES = st.fixed_dictionaries(
    {"type": st.sampled_from(("ALL", "ANY", "NONE")), "conditions": st.lists(CONDITIONS, max_size=3)}
)
RULES = st.fixed_dictionaries(
    {
        "type": st.sampled_from(("ALL", "ANY", "NONE")),
        "conditions": st.lists(CONDITIONS, max_size=1),
        "rules": st.lists(INNER_RULES, max_size=3),
    }
)


@dataclass(frozen=True)
class StateSpec:
    enabled: bool
    value: Value
    shares: list[float] = field(default_factory=list)
    """Percentages of the feature's options, in their order."""


# Values of identity overrides: no two have the same hash. The SDK groups identities by the hash of their overrides, and
# with "" for one identity and false for another it loses one of them.
VALUES_WITH_UNIQUE_HASH = VALUES.filter(lambda value: value not in ("", -1))


@st.composite
def states(draw: st.DrawFn, options: int, values: st.SearchStrategy[Value] = VALUES) -> StateSpec:
    shares = draw(st.lists(PERCENTAGES, min_size=options, max_size=options))
    # The Admin API ensures that the sum is at most 100.
    total = sum(shares)
    if total > 100:
        shares = [share * 100 / total for share in shares]
    return StateSpec(draw(st.booleans()), draw(values), shares)


@dataclass(frozen=True)
class FeatureSpec:
    options: list[tuple[Value, str | None]]
    """Values and keys."""
    default: StateSpec
    segments: dict[int, tuple[int, StateSpec]]
    """Priority and state, by the segment's index."""
    identities: dict[str, StateSpec]
    server_only: bool


@st.composite
def features(draw: st.DrawFn, segments: int) -> FeatureSpec:
    options = draw(st.lists(st.tuples(VALUES_WITH_UNIQUE_HASH, st.sampled_from((None, "red", "blue"))), max_size=3))
    state, identity_state = states(len(options)), states(len(options), VALUES_WITH_UNIQUE_HASH)
    overridden = draw(st.sets(st.integers(0, segments - 1), max_size=segments)) if segments else set()
    return FeatureSpec(
        options=options,
        default=draw(state),
        segments={index: (draw(st.integers(0, 3)), draw(state)) for index in overridden},
        identities=draw(st.dictionaries(st.sampled_from(IDENTIFIERS), identity_state, max_size=2)),
        server_only=draw(st.booleans()),
    )


@dataclass(frozen=True)
class EnvironmentSpec:
    segments: list[list[dict[str, Any]]]
    """The rules of each segment."""
    features: list[FeatureSpec]
    settings: dict[str, Any]


@st.composite
def environments(draw: st.DrawFn, **settings: st.SearchStrategy[Any]) -> EnvironmentSpec:
    segments = draw(st.lists(st.lists(RULES, max_size=2), max_size=4))
    generated = draw(st.lists(features(len(segments)), min_size=1, max_size=3))
    return EnvironmentSpec(segments, generated, {name: draw(strategy) for name, strategy in settings.items()})


TRAIT_VALUES = st.one_of(
    st.booleans(),
    st.integers(-20, 20),
    st.floats(-20, 20).filter(lambda number: number == number),
    st.sampled_from(WORDS),
    st.text("ab1.", max_size=4),
)

IDENTITIES = st.tuples(
    st.sampled_from((*IDENTIFIERS, "unknown")), st.dictionaries(st.sampled_from(TRAITS), TRAIT_VALUES, max_size=4)
)


def store(spec: EnvironmentSpec) -> Environment:
    """Store the specified environment in a new organisation."""
    organisation = Organisation.objects.create(name="Generated")
    project = Project.objects.create(name="Generated", organisation=organisation)
    environment = Environment.objects.create(**{"name": "Generated", "project": project, **spec.settings})
    segments = [_store_segment(project, index, rules) for index, rules in enumerate(spec.segments)]
    for index, feature in enumerate(spec.features):
        _store_feature(environment, index, feature, segments)
    return environment


def _store_segment(project: Project, index: int, rules: list[dict[str, Any]]) -> Segment:
    segment = Segment.objects.create(name=f"s{index}", project=project)
    for rule in rules:
        outer = SegmentRule.objects.create(segment=segment, type=rule["type"])
        _store_conditions(outer, rule["conditions"])
        for nested in rule["rules"]:
            _store_conditions(SegmentRule.objects.create(rule=outer, type=nested["type"]), nested["conditions"])
    return segment


def _store_conditions(rule: SegmentRule, generated: list[dict[str, Any]]) -> None:
    Condition.objects.bulk_create(Condition(rule=rule, **condition) for condition in generated)


def _store_feature(environment: Environment, index: int, spec: FeatureSpec, segments: list[Segment]) -> None:
    feature = Feature.objects.create(
        name=f"f{index}",
        project=environment.project,
        type="MULTIVARIATE" if spec.options else "STANDARD",
        is_server_key_only=spec.server_only,
    )
    options = []
    for value, key in spec.options:
        option = MultivariateFeatureOption(feature=feature, key=key)
        option.value = value
        option.save()
        options.append(option)
    scope = {"feature": feature, "environment": environment}
    _store_state(spec.default, options, **scope)
    for segment, (priority, state) in spec.segments.items():
        override = FeatureSegment.objects.create(**scope, segment=segments[segment], priority=priority)
        _store_state(state, options, **scope, feature_segment=override)
    for identifier, state in spec.identities.items():
        identity, _ = Identity.objects.get_or_create(environment=environment, identifier=identifier)
        _store_state(state, options, **scope, identity=identity)


def _store_state(spec: StateSpec, options: list[MultivariateFeatureOption], **scope: Any) -> None:
    state = FeatureState.objects.create(**scope, enabled=spec.enabled)
    value = FeatureStateValue(feature_state=state)
    value.value = spec.value
    value.save()
    MultivariateFeatureStateValue.objects.bulk_create(
        MultivariateFeatureStateValue(
            feature_state=state, multivariate_feature_option=option, percentage_allocation=share
        )
        for option, share in zip(options, spec.shares, strict=True)
    )
