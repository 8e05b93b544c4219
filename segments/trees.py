"""Reads and writes segments' trees: rules, nested rules, and the conditions of both.

Trees have at most two levels, so any number of trees is read with four queries and written with three.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Any, NotRequired, TypedDict

from django.db.models import Prefetch, Q, QuerySet, prefetch_related_objects

from segments.models import Condition, Segment, SegmentRule


class ConditionData(TypedDict):
    operator: str
    property: NotRequired[str | None]
    value: NotRequired[str | None]
    description: NotRequired[str | None]


class RuleData(TypedDict):
    """A rule. Rules of the second level have no ``rules``."""

    type: str
    conditions: NotRequired[list[ConditionData]]
    rules: NotRequired[list["RuleData"]]


def with_trees(segments: QuerySet[Segment]) -> QuerySet[Segment]:
    """Prefetch the trees of segments."""
    nested = SegmentRule.objects.prefetch_related("conditions")
    top = SegmentRule.objects.prefetch_related("conditions", Prefetch("rules", queryset=nested))
    return segments.prefetch_related(Prefetch("rules", queryset=top))


def prefetch(segment: Segment) -> None:
    """Prefetch the tree of a segment with three queries: the conditions of both levels are read together."""
    prefetch_related_objects([segment], "rules__rules")
    rules = list(segment.rules.all())
    prefetch_related_objects([*rules, *(nested for rule in rules for nested in rule.rules.all())], "conditions")


def read(segment: Segment) -> list[RuleData]:
    """The stored tree of a segment. Prefetch it by ``with_trees`` or ``prefetch``."""
    return [
        {**_read_rule(rule), "rules": [_read_rule(nested) for nested in rule.rules.all()]}
        for rule in segment.rules.all()
    ]


def _read_rule(rule: SegmentRule) -> RuleData:
    conditions: list[ConditionData] = [
        {
            "operator": condition.operator,
            "property": condition.property,
            "value": condition.value,
            "description": condition.description,
        }
        for condition in rule.conditions.all()
    ]
    return {"type": rule.type, "conditions": conditions}


def with_missing_fields(rules: Iterable[RuleData]) -> list[RuleData]:
    """The tree with missing fields added, as ``read`` returns it after a write."""
    return [
        {
            **_rule_with_missing_fields(rule),
            "rules": [_rule_with_missing_fields(each) for each in rule.get("rules", ())],
        }
        for rule in rules
    ]


def _rule_with_missing_fields(rule: RuleData) -> RuleData:
    conditions: list[ConditionData] = [
        {
            "operator": condition["operator"],
            "property": condition.get("property"),
            "value": condition.get("value"),
            "description": condition.get("description"),
        }
        for condition in rule.get("conditions", ())
    ]
    return {"type": rule["type"], "conditions": conditions}


def visible_to_sdks(rules: Iterable[RuleData]) -> list[Any]:
    """The part of a tree that SDKs can read: everything but descriptions."""
    return [
        (
            rule["type"],
            [(each["operator"], each.get("property"), each.get("value")) for each in rule.get("conditions", ())],
            visible_to_sdks(rule.get("rules", ())),
        )
        for rule in rules
    ]


def write(trees: Iterable[tuple[Segment, list[RuleData]]]) -> None:
    """Write the trees of segments that have none. The caller announces it."""
    owned = [(segment, rule) for segment, rules in trees for rule in rules]
    rules = [rule for _, rule in owned]
    top = SegmentRule.objects.bulk_create(SegmentRule(segment=segment, type=rule["type"]) for segment, rule in owned)
    children = [(parent, child) for parent, rule in zip(top, rules, strict=True) for child in rule.get("rules", ())]
    nested = SegmentRule.objects.bulk_create(SegmentRule(rule=parent, type=child["type"]) for parent, child in children)
    rules_with_data = chain(zip(top, rules, strict=True), zip(nested, (child for _, child in children), strict=True))
    Condition.objects.bulk_create(
        Condition(rule=rule, **condition) for rule, data in rules_with_data for condition in data.get("conditions", ())
    )


def clear(segments: Iterable[Segment]) -> None:
    """Remove the trees of segments, raw: a signal for each row would read its environments. The caller announces it."""
    if not isinstance(segments, QuerySet):
        segments = list(segments)
    inside = Q(rule__segment__in=segments) | Q(rule__rule__segment__in=segments)
    for rows in (
        Condition.objects.filter(inside),
        SegmentRule.objects.filter(rule__segment__in=segments),
        SegmentRule.objects.filter(segment__in=segments),
    ):
        rows._raw_delete(rows.db)
