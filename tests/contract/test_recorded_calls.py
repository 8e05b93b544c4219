"""The recorded calls of a Flagsmith, replayed against this product: same status, same response."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django import DjangoDbBlocker

from tests.contract import differences, recording
from tests.contract.comparison import Comparison
from tests.contract.recording import Answer, Call

# The session is replayed outside of any test. Without the second mark it would write to, and then flush, the
# developer's own database.
pytestmark = [pytest.mark.database, pytest.mark.django_db]

# An identity's option of the multivariate feature depends on the random key of its environment: value and variant.
BY_CHANCE = {("a", None), ("b", None), ("ctrl", "control")}


@pytest.fixture(scope="module")
def answers(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[dict[str, Answer]]:
    """The responses of this product to all calls, replayed once with real commits."""
    with django_db_blocker.unblock():
        yield recording.Session().replay()
        call_command("flush", interactive=False, verbosity=0)


@pytest.fixture(scope="module")
def found(answers: dict[str, Answer]) -> dict[str, list[str]]:
    """The differences by call name. Responses are compared in order, since objects must correspond over the session."""
    comparison = Comparison()
    result: dict[str, list[str]] = {}
    for call in recording.calls():
        answer = answers[call.name]
        status, body = differences.expected(call)
        if answer.impossible:
            result[call.name] = [answer.impossible]
        elif answer.status != status:
            result[call.name] = [f"status: recorded {status}, got {answer.status} {json.dumps(answer.body)[:500]}"]
        else:
            result[call.name] = comparison.differences(body, _with_recorded_chance(body, answer.body), call.resource)
    return result


@pytest.mark.parametrize(
    "call",
    [pytest.param(call, id=call.name) for call in recording.calls()],
)
def test_call__as_recorded__same_answer(call: Call, found: dict[str, list[str]]) -> None:
    assert found[call.name] == [], f"{call.method} {call.path}"


def test_version_header__where_recorded__is_there_and_in_microseconds(answers: dict[str, Answer]) -> None:
    header = "X-Flagsmith-Document-Updated-At"
    with_header = [call.name for call in recording.calls() if header in (call.headers or {})]
    wrong = {
        name: answers[name].headers.get(header)
        for name in with_header
        if not re.fullmatch(r"\d{10}\.\d{6}", answers[name].headers.get(header, ""))
    }
    assert len(with_header) == 7
    assert wrong == {}


def test_difference__every_listed_one__changes_what_is_expected() -> None:
    calls = {call.name: call for call in recording.calls()}
    for difference in differences.DELIBERATE:
        call = calls[difference.call]
        assert differences.expected(call) != (call.status, call.answer), difference.reason


def _with_recorded_chance(recorded: Any, ours: Any) -> Any:
    """Our response, with the recorded value and variant of ``flag_mv`` in place of an identity's own option."""
    match recorded, ours:
        case {"feature": {"name": "flag_mv"}, "variant": variant}, {"feature": {"name": "flag_mv"}}:
            if (ours.get("feature_state_value"), ours.get("variant")) in BY_CHANCE:
                return {**ours, "feature_state_value": recorded["feature_state_value"], "variant": variant}
        case {"feature": {"name": "flag_mv"}, "overridden_by": _}, {"feature": {"name": "flag_mv"}}:
            if ours.get("feature_state_value") in {value for value, _ in BY_CHANCE}:
                return {**ours, "feature_state_value": recorded["feature_state_value"]}
        case dict(), dict():
            return {key: _with_recorded_chance(recorded.get(key), value) for key, value in ours.items()}
        case list(), list():
            pairs = [_with_recorded_chance(*pair) for pair in zip(recorded, ours, strict=False)]
            return pairs + ours[len(pairs) :]
    return ours
