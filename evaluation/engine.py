"""The environment document in the flag engine's words.

The official SDKs map the document in the same way when they evaluate locally, so that server and SDK agree on every
identity. Where the engine would raise, the condition counts as not met: one that cannot be evaluated must not take the
flags of a whole environment away.
"""

from functools import lru_cache
from typing import Any

from flag_engine.context.types import FeatureContext, FeatureValue, SegmentCondition, SegmentContext, SegmentRule
from flag_engine.segments.evaluator import get_flag_result_from_context

from segments.evaluability import condition_errors

Json = dict[str, Any]

IDENTITY_PRIORITY = float("-inf")
"""An identity's own override is stronger than any segment's: the lower the number, the stronger."""

# An empty list holds no value, whatever the identity's trait is.
NEVER: SegmentCondition = {"property": "", "operator": "IN", "value": []}

RULE_TYPES = frozenset({"ALL", "ANY", "NONE"})

# The operators whose value can be such that the engine raises, and the beginning of a property that can.
DELICATE_OPERATORS = frozenset({"REGEX", "MODULO", "IN"})
JSON_PATH = "$."


def feature_context(state: Json, metadata: Any, priority: float | None = None) -> FeatureContext[Any]:
    """A feature state of the document as the engine takes it. The result of an evaluation carries ``metadata``."""
    context: FeatureContext[Any] = {
        "key": str(state["django_id"]),
        "name": state["feature"]["name"],
        "enabled": state["enabled"],
        "value": state["feature_state_value"],
        "metadata": metadata,
    }
    if shares := state["multivariate_feature_state_values"]:
        context["variants"] = [_variant(share) for share in shares]
    if state["feature_segment"] is not None:
        context["priority"] = state["feature_segment"]["priority"]
    if priority is not None:
        context["priority"] = priority
    return context


def _variant(share: Json) -> FeatureValue:
    option = share["multivariate_feature_option"]
    variant: FeatureValue = {
        "value": option["value"],
        "weight": share["percentage_allocation"],
        "priority": share["id"],
    }
    if option["key"] is not None:
        variant["key"] = option["key"]
    return variant


def segment_context(segment: Json, overrides: list[FeatureContext[Any]]) -> SegmentContext[Any, Any]:
    return {
        "key": str(segment["id"]),
        "name": segment["name"],
        "rules": [_rule(rule) for rule in segment["rules"]],
        "overrides": overrides,
    }


def identity_context(overrides: list[FeatureContext[Any]]) -> SegmentContext[Any, Any]:
    """An identity's overrides as a segment that only this identity's evaluation gets, and that it is always in."""
    return {"key": "", "name": "identity_overrides", "rules": [{"type": "ALL"}], "overrides": overrides}


def _rule(rule: Json) -> SegmentRule:
    if rule["type"] not in RULE_TYPES:
        return {"type": "ALL", "conditions": [NEVER]}
    return {
        "type": rule["type"],
        "conditions": [_condition(condition) for condition in rule["conditions"]],
        "rules": [_rule(nested) for nested in rule["rules"]],
    }


def _condition(condition: Json) -> SegmentCondition:
    operator, prop, value = condition["operator"], condition["property_"] or "", condition["value"] or ""
    delicate = operator in DELICATE_OPERATORS or prop.startswith(JSON_PATH)
    if delicate and not _evaluable(operator, prop, value):
        return NEVER
    return {"property": prop, "operator": operator, "value": value}


@lru_cache(maxsize=4096)
def _evaluable(operator: str, prop: str, value: str) -> bool:
    """Remembered, since a document is built anew with each change and most of its conditions are the old ones."""
    return not condition_errors(operator, prop, value)


def value_for(state: Json, hashing_key: str) -> Any:
    """The value that the identity with this key gets from a state: its share's option, or the state's own value."""
    identity: Any = {"identity": {"key": hashing_key}}
    return get_flag_result_from_context(identity, feature_context(state, None), reason="")["value"]
