"""A tree as a client sends it, looked at as a whole before any of its fields is.

Anything may stand anywhere in it: what is no list or no object is left for the serializers to refuse. Nothing here goes
deeper than the levels that there are, however deep the body is.
"""

from typing import Any

from rest_framework.exceptions import ValidationError

MAX_LEVELS = 2
MAX_CONDITIONS = 100

TOO_DEEP = "Rules must not be nested more than {limit} levels deep."
TOO_MANY = "The segment has {count} conditions, which exceeds the maximum condition count of {limit}."


def tree(rules: Any) -> Any:
    """The tree without the items that are marked with ``"delete": true``.

    Raises ValidationError for rules on a third level, and for more conditions than a segment may have: a tree that is
    too large costs no look at each of its conditions.
    """
    kept = _kept(rules)
    if isinstance(kept, list):
        kept = [_rule(rule, level=1) for rule in kept]
        count = sum(map(_conditions, kept))
        if count > MAX_CONDITIONS:
            raise ValidationError({"segment": [TOO_MANY.format(count=count, limit=MAX_CONDITIONS)]})
    return kept


def _rule(rule: Any, level: int) -> Any:
    if not isinstance(rule, dict):
        return rule
    parts = {name: _kept(rule[name]) for name in ("rules", "conditions") if name in rule}
    if parts.get("rules"):
        if level == MAX_LEVELS:
            raise ValidationError({"segment": [TOO_DEEP.format(limit=MAX_LEVELS)]})
        if isinstance(parts["rules"], list):
            parts["rules"] = [_rule(nested, level + 1) for nested in parts["rules"]]
    return {**rule, **parts}


def _kept(items: Any) -> Any:
    if not isinstance(items, list):
        return items
    return [item for item in items if not (isinstance(item, dict) and item.get("delete"))]


def _conditions(rule: Any) -> int:
    if not isinstance(rule, dict):
        return 0
    nested, conditions = rule.get("rules"), rule.get("conditions")
    own = len(conditions) if isinstance(conditions, list) else 0
    return own + (sum(map(_conditions, nested)) if isinstance(nested, list) else 0)
