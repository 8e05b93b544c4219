"""A segment's tree of rules as a form, which needs no script: what is typed goes to the server and comes back.

A field's name is its place in the API's body, ``rules.0.rules.1.conditions.2.value``, so the API's errors find it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict

from dashboard.segments.operators import BY_VALUE, OPERATORS, Operator
from segments.models import Condition, SegmentRule
from segments.trees import RuleData

TEXTS = ("property", "value", "description")
DEEPEST = 2

Errors = Mapping[str, list[str]]


@dataclass
class ConditionForm:
    """A condition as it is typed, all of it text."""

    operator: str = Condition.Operator.EQUAL
    texts: dict[str, str] = field(default_factory=dict)
    """By name: those of ``TEXTS``."""

    stored: str = ""
    """The condition as it was read, in JSON. What nobody has changed goes back as it was: null, or of several lines."""

    path: str = ""
    errors: dict[str, list[str]] = field(default_factory=dict)
    focus: bool = False

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "ConditionForm":
        return cls(data["operator"], {name: data.get(name) or "" for name in TEXTS}, json.dumps(data))

    @classmethod
    def typed(cls, fields: Mapping[str, Any]) -> "ConditionForm":
        return cls(_text(fields, "operator"), {name: _text(fields, name) for name in TEXTS}, _text(fields, "stored"))

    @property
    def known(self) -> Operator:
        return BY_VALUE.get(self.operator, Operator(self.operator, self.operator, ""))

    @property
    def operators(self) -> list[Operator]:
        """The choices; one that nobody knows stands among them, so that the API can refuse it."""
        return [*OPERATORS, *([] if self.operator in BY_VALUE else [self.known])]

    @property
    def body(self) -> dict[str, str]:
        """As the API takes it. Null is said by leaving a field out."""
        body = {"operator": self.operator}
        for name in TEXTS:
            text = self._meant(name)
            if text is not None:
                body[name] = text
        return body

    def _meant(self, name: str) -> str | None:
        typed = self.texts.get(name, "")
        stored = self._stored
        if name in stored and _as_typed(stored[name]) == _as_typed(typed):
            return stored[name]
        if name == "value":
            return typed if self.known.takes_value else None
        if name == "property":
            return typed if typed or self.operator != Condition.Operator.PERCENTAGE_SPLIT else None
        return typed or None

    @property
    def _stored(self) -> dict[str, str | None]:
        """What the form brought back of it; nothing where it is of another kind now."""
        try:
            stored = json.loads(self.stored or "{}")
        except (ValueError, RecursionError):
            return {}
        if not isinstance(stored, dict) or stored.get("operator") != self.operator:
            return {}
        return {name: stored[name] for name in TEXTS if isinstance(stored.get(name), str | None) and name in stored}


@dataclass
class RuleForm:
    """A rule with its conditions, and the rules in it."""

    type: str = SegmentRule.Type.ALL
    conditions: list[ConditionForm] = field(default_factory=list)
    rules: list["RuleForm"] = field(default_factory=list)
    path: str = ""
    errors: dict[str, list[str]] = field(default_factory=dict)
    focus: bool = False

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "RuleForm":
        conditions = [ConditionForm.of(each) for each in data.get("conditions", ())]
        return cls(data["type"], conditions, [cls.of(each) for each in data.get("rules", ())])

    @classmethod
    def typed(cls, fields: Mapping[str, Any], level: int = 1) -> "RuleForm":
        conditions = [ConditionForm.typed(each) for each in _in_order(fields.get("conditions"))]
        nested = _in_order(fields.get("rules")) if level < DEEPEST else ()
        return cls(_text(fields, "type"), conditions, [cls.typed(each, level + 1) for each in nested])

    @property
    def is_top(self) -> bool:
        return self.path.count("rules") == 1

    @property
    def types(self) -> list[str]:
        kinds: list[str] = list(SegmentRule.Type.values)
        return [*kinds, *([] if self.type in kinds else [self.type])]

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"type": self.type, "conditions": [each.body for each in self.conditions]}
        if self.is_top:
            body["rules"] = [each.body for each in self.rules]
        return body


class Tree:
    """All rules of a segment. Where there are none, the form begins with what nearly all segments are made of."""

    def __init__(self, rules: list[RuleForm]) -> None:
        self.rules = rules
        self._place()

    @classmethod
    def new(cls) -> "Tree":
        return cls([RuleForm(rules=[RuleForm(SegmentRule.Type.ANY, [ConditionForm()])])])

    @classmethod
    def of(cls, rules: list[RuleData]) -> "Tree":
        return cls([RuleForm.of(each) for each in rules])

    @classmethod
    def typed(cls, posted: QueryDict) -> "Tree":
        fields: dict[str, Any] = {}
        for name in posted:
            *path, last = name.split(".")
            if path[:1] != ["rules"] or len(path) > 2 * DEEPEST + 2:
                continue
            place: Any = fields
            for part in path:
                place = place.setdefault(part, {})
                if not isinstance(place, dict):
                    break
            else:
                place[last] = posted[name]
        return cls([RuleForm.typed(each) for each in _in_order(fields.get("rules"))])

    @property
    def body(self) -> list[dict[str, Any]]:
        return [each.body for each in self.rules]

    def change(self, wanted: str) -> None:
        """Do what a button says: ``add-condition:PATH``, ``add-group:PATH``, ``remove:PATH``."""
        action, _, path = wanted.partition(":")
        item = dict(self._items()).get(path)
        if action == "remove" and item is not None:
            self._remove(item)
        elif action == "add-condition" and isinstance(item, RuleForm):
            item.conditions.append(ConditionForm(focus=True))
        elif action == "add-group" and isinstance(item, RuleForm) and item.is_top:
            item.rules.append(RuleForm(SegmentRule.Type.ANY, [ConditionForm(focus=True)]))
        self._place()

    def refuse(self, errors: Errors) -> list[str]:
        """Put the API's errors beside their fields, and give those that belong to none."""
        items = dict(self._items())
        rest = []
        for name, texts in errors.items():
            path, _, last = name.rpartition(".")
            if path in items and last in ("operator", "type", *TEXTS):
                items[path].errors[last] = texts
            elif name not in ("name", "description"):
                rest.extend(texts)
        return rest

    def _remove(self, item: RuleForm | ConditionForm) -> None:
        owners = [each for _, each in self._items() if isinstance(each, RuleForm)]
        lists: list[list[Any]] = [self.rules, *(each.rules for each in owners), *(each.conditions for each in owners)]
        for items in lists:
            place = next((place for place, each in enumerate(items) if each is item), None)
            if place is not None:
                del items[place]
                # Whoever removes by keyboard goes on at the neighbour.
                for neighbour in items[max(place - 1, 0) :][:1]:
                    neighbour.focus = True

    def _place(self) -> None:
        for number, rule in enumerate(self.rules):
            _place(rule, f"rules.{number}")

    def _items(self) -> Iterator[tuple[str, RuleForm | ConditionForm]]:
        waiting = list(self.rules)
        while waiting:
            rule = waiting.pop()
            yield rule.path, rule
            yield from ((each.path, each) for each in rule.conditions)
            waiting.extend(rule.rules)


def _place(rule: RuleForm, path: str) -> None:
    rule.path = path
    for number, condition in enumerate(rule.conditions):
        condition.path = f"{path}.conditions.{number}"
    for number, nested in enumerate(rule.rules):
        _place(nested, f"{path}.rules.{number}")


def _text(fields: Mapping[str, Any], name: str) -> str:
    text = fields.get(name, "")
    return text if isinstance(text, str) else ""


def _in_order(items: Any) -> list[Mapping[str, Any]]:
    """The items of a list whose places were names."""
    if not isinstance(items, dict):
        return []
    numbered = [(int(place), item) for place, item in items.items() if place.isdecimal() and len(place) < 9]
    return [item for _, item in sorted(numbered, key=lambda pair: pair[0]) if isinstance(item, dict)]


def _as_typed(text: str | None) -> str:
    """What a browser sends of a field that nobody has touched: one line, or lines that end in its own way."""
    return "".join((text or "").split("\r")).replace("\n", "")
