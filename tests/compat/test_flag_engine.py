"""Contracts of the flag engine's parts that ``realtime/compat/flag_engine.py`` uses."""

from typing import Any

import pytest
from flag_engine.engine import get_evaluation_result
from flag_engine.segments import constants, evaluator

from tests.compat.parts import parameters

CONDITION: Any = {"operator": "REGEX", "property": "plan", "value": "p.*"}
RULE: Any = {"type": "ALL", "conditions": [CONDITION], "rules": []}
FEATURE: Any = {"key": "1", "name": "flag", "enabled": True, "value": "on"}
SEGMENT: Any = {"key": "1", "name": "paying", "rules": [RULE], "overrides": [FEATURE]}
CONTEXT: Any = {
    "environment": {"key": "key", "name": "name"},
    "identity": {"identifier": "i", "key": "key_i", "traits": {"plan": "pro"}},
    "features": {"flag": {**FEATURE, "value": "off"}},
    "segments": {"1": SEGMENT},
}

FUNCTIONS = {
    "is_context_in_segment": ["context", "segment_context"],
    "context_matches_rule": ["context", "rule", "segment_key"],
    "context_matches_condition": ["context", "condition", "segment_key"],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_segments_evaluator__function__takes(name: str) -> None:
    assert parameters(getattr(evaluator, name)) == FUNCTIONS[name]


def test_is_context_in_segment__matching_trait__true() -> None:
    assert evaluator.is_context_in_segment(CONTEXT, SEGMENT)


def test_get_flag_result_from_context__feature__has_its_value() -> None:
    assert evaluator.get_flag_result_from_context(CONTEXT, FEATURE, reason="")["value"] == "on"


def test_matchers_by_operator__regex_replaced__decides_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def matches(pattern: str | None, value: Any) -> bool:
        asked.append((pattern, value))
        return False

    assert get_evaluation_result(CONTEXT)["flags"]["flag"]["value"] == "on"
    monkeypatch.setitem(evaluator.MATCHERS_BY_OPERATOR, constants.REGEX, matches)
    assert get_evaluation_result(CONTEXT)["flags"]["flag"]["value"] == "off"
    assert asked == [("p.*", "pro")]
