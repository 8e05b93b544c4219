"""The form of a segment's rules. It works without JavaScript: buttons that add or remove rules post the whole form.

A field's name is its path in the API's body, ``rules.0.rules.1.conditions.2.value``, so the API's errors map to it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict

from dashboard.segments.operators import BY_VALUE, OPERATORS, Operator
from segments.models import Condition, SegmentRule
from segments.trees import RuleData

TEXT_FIELDS = ("property", "value", "description")
MAX_DEPTH = 2

Errors = Mapping[str, list[str]]


@dataclass
class ConditionForm:
    """The form fields of a condition, all of them text."""

    operator: str = Condition.Operator.EQUAL
    texts: dict[str, str] = field(default_factory=dict)
    """Values of the fields in ``TEXT_FIELDS``."""

    stored: str = ""
    """The stored condition in JSON. Fields that the user did not change keep their value: null, or multi-line."""

    path: str = ""
    errors: dict[str, list[str]] = field(default_factory=dict)
    focus: bool = False

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "ConditionForm":
        return cls(data["operator"], {name: data.get(name) or "" for name in TEXT_FIELDS}, json.dumps(data))

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "ConditionForm":
        return cls(
            _text(fields, "operator"), {name: _text(fields, name) for name in TEXT_FIELDS}, _text(fields, "stored")
        )

    @property
    def operator_info(self) -> Operator:
        return BY_VALUE.get(self.operator, Operator(self.operator, self.operator, ""))

    @property
    def operators(self) -> list[Operator]:
        """The choices. A submitted unknown operator is one of them, so that the API rejects it."""
        return [*OPERATORS, *([] if self.operator in BY_VALUE else [self.operator_info])]

    @property
    def body(self) -> dict[str, str]:
        """The API's format. A field that is null is omitted."""
        body = {"operator": self.operator}
        for name in TEXT_FIELDS:
            text = self._api_value(name)
            if text is not None:
                body[name] = text
        return body

    def _api_value(self, name: str) -> str | None:
        typed = self.texts.get(name, "")
        stored = self._stored
        if name in stored and _as_submitted(stored[name]) == _as_submitted(typed):
            return stored[name]
        if name == "value":
            return typed if self.operator_info.takes_value else None
        if name == "property":
            return typed if typed or self.operator != Condition.Operator.PERCENTAGE_SPLIT else None
        return typed or None

    @property
    def _stored(self) -> dict[str, str | None]:
        """The stored text fields; empty if the operator has changed."""
        try:
            stored = json.loads(self.stored or "{}")
        except (ValueError, RecursionError):
            return {}
        if not isinstance(stored, dict) or stored.get("operator") != self.operator:
            return {}
        return {
            name: stored[name] for name in TEXT_FIELDS if isinstance(stored.get(name), str | None) and name in stored
        }


@dataclass
class RuleForm:
    """The form fields of a rule, with its conditions and nested rules."""

    type: str = SegmentRule.Type.ALL
    conditions: list[ConditionForm] = field(default_factory=list)
    rules: list["RuleForm"] = field(default_factory=list)
    path: str = ""
    errors: dict[str, list[str]] = field(default_factory=dict)
    focus: bool = False

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "RuleForm":
        conditions = [ConditionForm.from_data(each) for each in data.get("conditions", ())]
        return cls(data["type"], conditions, [cls.from_data(each) for each in data.get("rules", ())])

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], level: int = 1) -> "RuleForm":
        conditions = [ConditionForm.from_fields(each) for each in _in_order(fields.get("conditions"))]
        nested = _in_order(fields.get("rules")) if level < MAX_DEPTH else ()
        return cls(_text(fields, "type"), conditions, [cls.from_fields(each, level + 1) for each in nested])

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
    """All rules of a segment."""

    def __init__(self, rules: list[RuleForm]) -> None:
        self.rules = rules
        self._assign_paths()

    @classmethod
    def new(cls) -> "Tree":
        """The most common structure: one group with one condition."""
        return cls([RuleForm(rules=[RuleForm(SegmentRule.Type.ANY, [ConditionForm()])])])

    @classmethod
    def from_data(cls, rules: list[RuleData]) -> "Tree":
        return cls([RuleForm.from_data(each) for each in rules])

    @classmethod
    def from_post(cls, posted: QueryDict) -> "Tree":
        fields: dict[str, Any] = {}
        for name in posted:
            *path, last = name.split(".")
            if path[:1] != ["rules"] or len(path) > 2 * MAX_DEPTH + 2:
                continue
            parent: Any = fields
            for part in path:
                parent = parent.setdefault(part, {})
                if not isinstance(parent, dict):
                    break
            else:
                parent[last] = posted[name]
        return cls([RuleForm.from_fields(each) for each in _in_order(fields.get("rules"))])

    @property
    def body(self) -> list[dict[str, Any]]:
        return [each.body for each in self.rules]

    def apply(self, command: str) -> None:
        """Apply a button's command: ``add-condition:PATH``, ``add-group:PATH`` or ``remove:PATH``."""
        action, _, path = command.partition(":")
        item = dict(self._items()).get(path)
        if action == "remove" and item is not None:
            self._remove(item)
        elif action == "add-condition" and isinstance(item, RuleForm):
            item.conditions.append(ConditionForm(focus=True))
        elif action == "add-group" and isinstance(item, RuleForm) and item.is_top:
            item.rules.append(RuleForm(SegmentRule.Type.ANY, [ConditionForm(focus=True)]))
        self._assign_paths()

    def assign_errors(self, errors: Errors) -> list[str]:
        """Assign the API's errors to their fields. Returns those that belong to no field."""
        items = dict(self._items())
        rest = []
        for name, texts in errors.items():
            path, _, last = name.rpartition(".")
            if path in items and last in ("operator", "type", *TEXT_FIELDS):
                items[path].errors[last] = texts
            elif name not in ("name", "description"):
                rest.extend(texts)
        return rest

    def _remove(self, item: RuleForm | ConditionForm) -> None:
        owners = [each for _, each in self._items() if isinstance(each, RuleForm)]
        lists: list[list[Any]] = [self.rules, *(each.rules for each in owners), *(each.conditions for each in owners)]
        for items in lists:
            index = next((index for index, each in enumerate(items) if each is item), None)
            if index is not None:
                del items[index]
                # Keyboard users continue at the neighbour.
                for neighbour in items[max(index - 1, 0) :][:1]:
                    neighbour.focus = True

    def _assign_paths(self) -> None:
        for number, rule in enumerate(self.rules):
            _assign_paths(rule, f"rules.{number}")

    def _items(self) -> Iterator[tuple[str, RuleForm | ConditionForm]]:
        pending = list(self.rules)
        while pending:
            rule = pending.pop()
            yield rule.path, rule
            yield from ((each.path, each) for each in rule.conditions)
            pending.extend(rule.rules)


def _assign_paths(rule: RuleForm, path: str) -> None:
    rule.path = path
    for number, condition in enumerate(rule.conditions):
        condition.path = f"{path}.conditions.{number}"
    for number, nested in enumerate(rule.rules):
        _assign_paths(nested, f"{path}.rules.{number}")


def _text(fields: Mapping[str, Any], name: str) -> str:
    text = fields.get(name, "")
    return text if isinstance(text, str) else ""


def _in_order(items: Any) -> list[Mapping[str, Any]]:
    """The items of a dict with index keys, as a list in the order of the indexes."""
    if not isinstance(items, dict):
        return []
    numbered = [(int(index), item) for index, item in items.items() if index.isdecimal() and len(index) < 9]
    return [item for _, item in sorted(numbered, key=lambda pair: pair[0]) if isinstance(item, dict)]


def _as_submitted(text: str | None) -> str:
    """The text without line breaks: single-line inputs drop them, and textareas send CRLF."""
    return "".join((text or "").split("\r")).replace("\n", "")
