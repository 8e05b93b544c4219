"""The comparison finds differences that would break a client, and ignores those that occur in every run."""

from copy import deepcopy
from typing import Any

import pytest

from tests.contract import recording
from tests.contract.comparison import Comparison

STATE = {"id": 5, "feature": 1, "enabled": True, "uuid": "f7b71c1f-9079-4735-b308-e0b83846eadb", "value": None}
TIMES = {"created_date": "2026-11-24T06:45:33.253504Z"}


def differences(recorded: Any, ours: Any) -> list[str]:
    return Comparison().differences(recorded, ours, "featurestates")


def test_comparison__recording_with_itself__no_difference() -> None:
    comparison = Comparison()
    for call in recording.calls():
        assert comparison.differences(call.answer, deepcopy(call.answer), call.resource) == []


def test_comparison__other_ids_keys_and_times__no_difference() -> None:
    ours = {**STATE, "id": 90, "feature": 17, "uuid": "00000000-9079-4735-b308-e0b83846eadb"}
    assert differences(STATE, ours) == []
    assert differences(TIMES, {"created_date": "2031-01-01T00:00:00.000001Z"}) == []


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        ({key: value for key, value in STATE.items() if key != "value"}, "missing ['value']"),
        ({**STATE, "more": 1}, "unknown ['more']"),
        ({"uuid": STATE["uuid"], **STATE}, "recorded in the order"),
        ({**STATE, "enabled": 1}, "enabled: recorded True, got 1"),
        ({**STATE, "enabled": False}, "enabled: recorded True, got False"),
        ({**STATE, "feature": 1.0}, "feature: recorded 1, got 1.0"),
        ({**STATE, "feature": None}, "feature: recorded 1, got None"),
        ({**STATE, "value": ""}, "value: recorded None, got ''"),
        ([STATE], "answer: recorded {"),
    ],
)
def test_comparison__difference_that_breaks_a_client__reported(ours: Any, message: str) -> None:
    found = differences(STATE, ours)
    assert len(found) == 1
    assert message in found[0]


def test_comparison__other_format_of_time__reported() -> None:
    assert differences(TIMES, {"created_date": "2026-11-24T06:45:33.253504+00:00"}) != []


def test_comparison__refers_to_another_object_than_before__reported() -> None:
    two = [STATE, {**STATE, "id": 6, "feature": 2}]
    assert differences(two, [{**STATE, "feature": 31}, {**STATE, "id": 6, "feature": 32}]) == []
    assert differences(two, [{**STATE, "feature": 31}, {**STATE, "id": 6, "feature": 31}]) != []
    assert differences([STATE, STATE], [STATE, {**STATE, "feature": 2}]) != []


def test_comparison__list_of_another_length__reported() -> None:
    assert differences([1, 2], [1]) == ["answer: recorded 2 items, got 1"]
