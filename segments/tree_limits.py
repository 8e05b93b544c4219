"""Limits of a segment's tree (depth, number of conditions), checked before the serializers validate its fields.

The tree is unvalidated JSON: values of wrong types are passed through to the serializers, which reject them. Recursion
ends at ``MAX_LEVELS``, however deep the body is nested.
"""

from typing import Any

from rest_framework.exceptions import ValidationError

MAX_LEVELS = 2
MAX_CONDITIONS = 100

TOO_DEEP = "Rules must not be nested more than {limit} levels deep."
TOO_MANY = "The segment has {count} conditions, which exceeds the maximum condition count of {limit}."


def check_tree(rules: Any) -> Any:
    """Return the tree without items marked with ``"delete": true``.

    Raises ValidationError if the tree has more than ``MAX_LEVELS`` levels or ``MAX_CONDITIONS`` conditions, so that no
    condition of such a tree is evaluated.
    """
    kept = _without_deleted(rules)
    if isinstance(kept, list):
        kept = [_check_rule(rule, level=1) for rule in kept]
        count = sum(map(_count_conditions, kept))
        if count > MAX_CONDITIONS:
            raise ValidationError({"segment": [TOO_MANY.format(count=count, limit=MAX_CONDITIONS)]})
    return kept


def _check_rule(rule: Any, level: int) -> Any:
    if not isinstance(rule, dict):
        return rule
    parts = {name: _without_deleted(rule[name]) for name in ("rules", "conditions") if name in rule}
    if parts.get("rules"):
        if level == MAX_LEVELS:
            raise ValidationError({"segment": [TOO_DEEP.format(limit=MAX_LEVELS)]})
        if isinstance(parts["rules"], list):
            parts["rules"] = [_check_rule(nested, level + 1) for nested in parts["rules"]]
    return {**rule, **parts}


def _without_deleted(items: Any) -> Any:
    if not isinstance(items, list):
        return items
    return [item for item in items if not (isinstance(item, dict) and item.get("delete"))]


def _count_conditions(rule: Any) -> int:
    if not isinstance(rule, dict):
        return 0
    nested, conditions = rule.get("rules"), rule.get("conditions")
    own = len(conditions) if isinstance(conditions, list) else 0
    return own + (sum(map(_count_conditions, nested)) if isinstance(nested, list) else 0)
