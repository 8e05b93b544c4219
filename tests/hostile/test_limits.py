"""Limits of values, segments and queries: the largest allowed is accepted, and anything larger is refused."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.hostile.refusals import complaint, rows
from tests.operations.objects import (
    CREATE_OVERRIDE,
    DEFAULT,
    FEATURES,
    IDENTITY_OVERRIDE,
    IDENTITY_STATES,
    NEW_OPTION,
    NEW_OVERRIDE,
    OBJECT_STATES,
    OPTION,
    OPTIONS,
    OVERRIDE,
    SECOND_STEP,
    SEGMENT,
    SEGMENTS,
    rules,
)
from tests.operations.operation import Operation
from tests.operations.world import WorldInProcess as World

pytestmark = [pytest.mark.django_db, pytest.mark.database]

LIMIT = 20_000


def typed(text: str) -> dict[str, Any]:
    return {"type": "unicode", "string_value": text}


VALUES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "initial value": (f"POST {FEATURES}", lambda text: {"name": "long", "initial_value": text}),
    "default, PUT": (f"PUT {DEFAULT}", lambda text: {"feature_state_value": text}),
    "default, PATCH": (f"PATCH {DEFAULT}", lambda text: {"feature_state_value": text}),
    "option": (f"POST {OPTIONS}", lambda text: {**NEW_OPTION, **typed(text)}),
    "option, PATCH": (f"PATCH {OPTION}", lambda text: {"string_value": text}),
    "override": (CREATE_OVERRIDE, lambda text: {**NEW_OVERRIDE, "feature_state_value": typed(text)}),
    "override, second step": (
        f"POST {OBJECT_STATES}",
        lambda text: {**SECOND_STEP, "feature_state_value": typed(text)},
    ),
    "override, PUT": (
        f"PUT {OBJECT_STATES}{{override}}/",
        lambda text: {**OVERRIDE, "feature_state_value": typed(text)},
    ),
    "identity override": (
        f"POST {IDENTITY_STATES}",
        lambda text: {**IDENTITY_OVERRIDE, "feature_state_value": text},
    ),
}
every_value = pytest.mark.parametrize(("call", "body"), VALUES.values(), ids=VALUES)


@every_value
def test_value__at_the_limit__kept_whole(call: str, body: Callable[[str], Any], world: World) -> None:
    answer = world.perform(Operation("", call=call, body=body("é" * LIMIT)))
    if call == f"PATCH {DEFAULT}":
        answer = world.call("GET", DEFAULT)
    value = answer.get("feature_state_value", answer.get("initial_value", answer.get("string_value")))
    value = value["string_value"] if isinstance(value, dict) else value
    assert value == "é" * LIMIT


@every_value
def test_value__above_the_limit__refused(call: str, body: Callable[[str], Any], world: World) -> None:
    operation = Operation("", call=call, body=body("é" * (LIMIT + 1)))
    world.prepare(operation)
    before = rows()
    response = post(world, operation.method, operation.path(world), operation.content(world))
    assert complaint(response, (400,)) == ""
    assert "Ensure this field has no more than 20000 characters." in response.content.decode()
    assert rows() == before


def post(world: World, method: str, path: str, body: Any) -> Any:
    return world.admin.generic(method, path, json.dumps(body), content_type="application/json")


def many_conditions(count: int) -> list[dict[str, Any]]:
    condition = {"operator": "EQUAL", "property": "plan", "value": "pro"}
    return [{**rules()[0], "rules": [{"type": "ANY", "rules": [], "conditions": [condition] * count}]}]


def nested(levels: int) -> list[dict[str, Any]]:
    """Rules with this number of levels below the first."""
    rule: dict[str, Any] = {"type": "ALL", "conditions": [], "rules": []}
    for _ in range(levels):
        rule = {"type": "ALL", "conditions": [], "rules": [rule]}
    return [rule]


def test_segment__100_conditions__created(world: World) -> None:
    answer = world.call("POST", SEGMENTS, {"name": "many", "rules": many_conditions(100)})
    assert len(answer["rules"][0]["rules"][0]["conditions"]) == 100


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(many_conditions(101), "exceeds the maximum condition count of 100", id="101 conditions"),
        pytest.param(many_conditions(1_000), "exceeds the maximum condition count of 100", id="1,000 conditions"),
        pytest.param(nested(2), "Rules must not be nested more than 2 levels deep", id="three levels"),
        pytest.param(nested(20), "", id="21 levels"),
        pytest.param(nested(80), "", id="81 levels"),
    ],
)
def test_segment__above_a_limit__refused(method: str, content: Any, message: str, world: World) -> None:
    path = world.resolve(f"/api/v1/{SEGMENTS if method == 'POST' else SEGMENT}")
    before = rows()
    response = post(world, method, path, {"name": "much", "rules": content})
    assert complaint(response, (400,)) == ""
    assert message in response.content.decode()
    assert rows() == before


def test_query__too_many_parameters__refused(world: World) -> None:
    for path in ("audit/", world.resolve(FEATURES), f"environments/?project={world.project.pk}"):
        response = world.admin.get(f"/api/v1/{path}{'&' if '?' in path else '?'}{'&'.join(['environments=1'] * 1_001)}")
        assert complaint(response, (400,)) == ""
