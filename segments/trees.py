"""A segment's tree: rules, rules inside of them, and the conditions of both.

Two levels at most, so trees are read with four queries and written with three, however many there are.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Any, NotRequired, TypedDict

from django.db.models import Prefetch, Q, QuerySet

from segments.models import Condition, Segment, SegmentRule


class ConditionData(TypedDict):
    operator: str
    property: NotRequired[str | None]
    value: NotRequired[str | None]
    description: NotRequired[str | None]


class RuleData(TypedDict):
    """A rule; one of the second level has no ``rules``."""

    type: str
    conditions: NotRequired[list[ConditionData]]
    rules: NotRequired[list["RuleData"]]


def with_trees(segments: QuerySet[Segment]) -> QuerySet[Segment]:
    """These segments with their trees, each level read at once."""
    nested = SegmentRule.objects.prefetch_related("conditions")
    top = SegmentRule.objects.prefetch_related("conditions", Prefetch("rules", queryset=nested))
    return segments.prefetch_related(Prefetch("rules", queryset=top))


def read(segment: Segment) -> list[RuleData]:
    """The stored tree. Best of a segment that ``with_trees`` has read."""
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


def complete(rules: Iterable[RuleData]) -> list[RuleData]:
    """What ``read`` gives of a tree that was given: with everything that was left out."""
    return [
        {**_complete_rule(rule), "rules": [_complete_rule(each) for each in rule.get("rules", ())]} for rule in rules
    ]


def _complete_rule(rule: RuleData) -> RuleData:
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


def read_by_sdks(rules: Iterable[RuleData]) -> list[Any]:
    """What of a tree SDKs get to see: all but the descriptions."""
    return [
        (
            rule["type"],
            [(each["operator"], each.get("property"), each.get("value")) for each in rule.get("conditions", ())],
            read_by_sdks(rule.get("rules", ())),
        )
        for rule in rules
    ]


def write(trees: Iterable[tuple[Segment, list[RuleData]]]) -> None:
    """Store the trees of segments that have none. Silent: nothing here sends a signal."""
    owned = [(segment, rule) for segment, rules in trees for rule in rules]
    rules = [rule for _, rule in owned]
    top = SegmentRule.objects.bulk_create(SegmentRule(segment=segment, type=rule["type"]) for segment, rule in owned)
    children = [(parent, child) for parent, rule in zip(top, rules, strict=True) for child in rule.get("rules", ())]
    nested = SegmentRule.objects.bulk_create(SegmentRule(rule=parent, type=child["type"]) for parent, child in children)
    places = chain(zip(top, rules, strict=True), zip(nested, (child for _, child in children), strict=True))
    Condition.objects.bulk_create(
        Condition(rule=rule, **condition) for rule, data in places for condition in data.get("conditions", ())
    )


def clear(segments: Iterable[Segment]) -> None:
    """Remove their trees. Silent as well, hence the raw deletes: each row's signal would look its environments up."""
    if not isinstance(segments, QuerySet):
        segments = list(segments)
    inside = Q(rule__segment__in=segments) | Q(rule__rule__segment__in=segments)
    for rows in (
        Condition.objects.filter(inside),
        SegmentRule.objects.filter(rule__segment__in=segments),
        SegmentRule.objects.filter(segment__in=segments),
    ):
        rows._raw_delete(rows.db)
