"""Converts an environment document to the flag engine's evaluation context.

The official SDKs convert it in the same way for local evaluation, so server and SDK agree on every identity. Conditions
for which the engine would raise are replaced by one that is never met: otherwise one bad condition would make all flags
of its environment unavailable.
"""

import re
import uuid
from collections.abc import Container, Iterable, Iterator
from functools import lru_cache
from typing import Any, cast

from flag_engine.context.types import FeatureContext, FeatureValue, SegmentCondition, SegmentContext, SegmentRule

from realtime.compat.flag_engine import get_flag_result_from_context
from realtime.evaluation.document import Condition, FeatureState, MultivariateValue, Rule, Segment, Value
from realtime.evaluation.evaluability import condition_errors

IDENTITY_PRIORITY = float("-inf")
"""The priority of identity overrides. Lower numbers take precedence, so they precede all segment overrides."""

# No trait value is in an empty list.
NEVER_MET: SegmentCondition = {"property": "", "operator": "IN", "value": []}

RULE_TYPES = frozenset({"ALL", "ANY", "NONE"})

# The engine can raise for conditions with these operators, or with a property that is a JSONPath.
OPERATORS_THAT_MAY_RAISE = frozenset({"REGEX", "MODULO", "IN"})
JSON_PATH = "$."

PERCENTAGE_SPLIT = "PERCENTAGE_SPLIT"

# A JSONPath that reads only the identity or the environment's name and key. "$" again: a filter that reads the rest.
PATH_WITHOUT_FEATURES = re.compile(r"\$\.(identity|environment)(?![^.\[])[^$]*")


def feature_context(state: FeatureState, metadata: Any, priority: float | None = None) -> FeatureContext[Any]:
    """Convert a feature state. The result of an evaluation contains ``metadata``."""
    context: FeatureContext[Any] = {
        "key": str(state.get("django_id") or state.get("featurestate_uuid", "")),
        "name": state["feature"]["name"],
        "enabled": state["enabled"],
        "value": state["feature_state_value"],
        "metadata": metadata,
    }
    if values := state.get("multivariate_feature_state_values"):
        context["variants"] = [_variant(value) for value in values]
    feature_segment = state.get("feature_segment")
    own_priority = feature_segment.get("priority") if feature_segment else None
    if own_priority is not None:
        context["priority"] = own_priority
    if priority is not None:
        context["priority"] = priority
    return context


def _variant(multivariate_value: MultivariateValue) -> FeatureValue:
    option = multivariate_value["multivariate_feature_option"]
    variant: FeatureValue = {
        "value": option["value"],
        "weight": multivariate_value["percentage_allocation"],
        "priority": multivariate_value.get("id") or uuid.UUID(multivariate_value["mv_fs_value_uuid"]).int,
    }
    key = option.get("key")
    if key is not None:
        variant["key"] = key
    return variant


def segment_context(segment: Segment, overrides: list[FeatureContext[Any]]) -> SegmentContext[Any, Any]:
    return {
        "key": str(segment["id"]),
        "name": segment["name"],
        "rules": [_rule(rule) for rule in segment["rules"]],
        "overrides": overrides,
    }


def identity_context(overrides: list[FeatureContext[Any]]) -> SegmentContext[Any, Any]:
    """An identity's overrides as a segment that always matches. Only for this identity's evaluation."""
    return {"key": "", "name": "identity_overrides", "rules": [{"type": "ALL"}], "overrides": overrides}


def decided_segment(segment: SegmentContext[Any, Any], matches: bool) -> SegmentContext[Any, Any]:
    """The segment with rules that every identity matches, or none."""
    return {**segment, "rules": [{"type": "ALL"}] if matches else []}


def restricted_segment(segment: SegmentContext[Any, Any], names: Container[str]) -> SegmentContext[Any, Any]:
    """The segment with the overrides of these features only."""
    return {**segment, "overrides": [override for override in segment["overrides"] if override["name"] in names]}


def read_features(segments: Iterable[SegmentContext[Any, Any]]) -> bool:
    """Return whether a condition of these segments can read features, flags or segments of the context."""
    conditions = (each for segment in segments for rule in segment["rules"] for each in _conditions(rule))
    properties = (condition["property"] for condition in conditions)
    return any(prop.startswith(JSON_PATH) and not PATH_WITHOUT_FEATURES.fullmatch(prop) for prop in properties)


def trait_names(segment: SegmentContext[Any, Any]) -> tuple[str, ...] | None:
    """The traits that the segment's conditions read. None: its conditions depend on more of the context."""
    names = set()
    for rule in segment["rules"]:
        for condition in _conditions(rule):
            if condition["operator"] == PERCENTAGE_SPLIT or condition["property"].startswith(JSON_PATH):
                return None
            names.add(condition["property"])
    return tuple(sorted(names))


def _conditions(rule: SegmentRule) -> Iterator[SegmentCondition]:
    yield from rule.get("conditions", ())
    for nested in rule.get("rules", ()):
        yield from _conditions(nested)


def _rule(rule: Rule) -> SegmentRule:
    if rule["type"] not in RULE_TYPES:
        return {"type": "ALL", "conditions": [NEVER_MET]}
    kind: Any = rule["type"]
    return {
        "type": kind,
        "conditions": [_condition(condition) for condition in rule.get("conditions", ())],
        "rules": [_rule(nested) for nested in rule.get("rules", ())],
    }


def _condition(condition: Condition) -> SegmentCondition:
    prop = condition["property_"] or ""
    # The engine's types have only the operators and kinds of values that it knows.
    operator: Any = condition["operator"]
    value: Any = condition["value"] or ""
    may_raise = operator in OPERATORS_THAT_MAY_RAISE or prop.startswith(JSON_PATH)
    if may_raise and not _is_evaluable(operator, prop, value if isinstance(value, str) else ""):
        return NEVER_MET
    return cast(SegmentCondition, {"property": prop, "operator": operator, "value": value})


@lru_cache(maxsize=4096)
def _is_evaluable(operator: str, prop: str, value: str) -> bool:
    """Cached, because each change builds a new document, in which most conditions are unchanged."""
    return not condition_errors(operator, prop, value)


def value_for(state: FeatureState, hashing_key: str) -> Value:
    """The value of a feature state for an identity with this hashing key: an option's value or the state's own."""
    identity: Any = {"identity": {"key": hashing_key}}
    value: Value = get_flag_result_from_context(identity, feature_context(state, None), reason="")["value"]
    return value
