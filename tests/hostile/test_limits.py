"""Limits: what is just allowed is stored, and one more is refused."""

import json
from typing import Any

import pytest

from tests.hostile.refusals import complaint, rows
from tests.triggers.world import World, rules

pytestmark = [pytest.mark.django_db, pytest.mark.database]

LIMIT = 20_000


def text(length: int) -> dict[str, Any]:
    return {"type": "unicode", "string_value": "é" * length}


VALUES: dict[str, tuple[Any, ...]] = {
    "initial value": (
        lambda w: ("POST", w.features),
        lambda w, n: {"name": "long", "initial_value": "é" * n},
    ),
    "default, PUT": (lambda w: ("PUT", w.default), lambda w, n: {"feature_state_value": "é" * n}),
    "default, PATCH": (lambda w: ("PATCH", w.default), lambda w, n: {"feature_state_value": "é" * n}),
    "option": (
        lambda w: ("POST", w.options),
        lambda w, n: {**text(n), "default_percentage_allocation": 1, "feature": w.split["id"]},
    ),
    "option, PATCH": (
        lambda w: ("PATCH", f"{w.options}{w.option['id']}/"),
        lambda w, n: {"string_value": "é" * n},
    ),
    "override": (
        lambda w: ("POST", f"{w.of_a}features/{w.feature['id']}/create-segment-override/"),
        lambda w, n: {
            "feature_segment": {"segment": w.segment["id"]},
            "enabled": True,
            "feature_state_value": text(n),
        },
    ),
    "override, second step": (
        lambda w: ("POST", "features/featurestates/"),
        lambda w, n: w.second_step(enabled=True, feature_state_value=text(n)),
    ),
    "override, PUT": (
        lambda w: ("PUT", w.override_state),
        lambda w, n: w.override_body(feature_state_value=text(n)),
    ),
    "identity override": (
        lambda w: ("POST", w.identity_states),
        lambda w, n: {"feature": w.feature["id"], "enabled": True, "feature_state_value": "é" * n},
    ),
}


@pytest.mark.parametrize(("where", "body"), VALUES.values(), ids=VALUES)
def test_value__at_the_limit__kept_whole(where: Any, body: Any, world: World) -> None:
    method, path = where(world)
    answer = world.call(method, path, body(world, LIMIT))
    if method == "PATCH" and path == world.default:
        answer = world.call("GET", path)
    value = answer.get("feature_state_value", answer.get("initial_value", answer.get("string_value")))
    value = value["string_value"] if isinstance(value, dict) else value
    assert value == "é" * LIMIT


@pytest.mark.parametrize(("where", "body"), VALUES.values(), ids=VALUES)
def test_value__above_the_limit__refused(where: Any, body: Any, world: World) -> None:
    method, path = where(world)
    content = body(world, LIMIT + 1)
    before = rows()
    response = world.admin.generic(method, f"/api/v1/{path}", json.dumps(content), content_type="application/json")
    assert complaint(response, (400,)) == ""
    assert "Ensure this field has no more than 20000 characters." in response.content.decode()
    assert rows() == before


def many_conditions(count: int) -> list[dict[str, Any]]:
    condition = {"operator": "EQUAL", "property": "plan", "value": "pro"}
    return [{**rules()[0], "rules": [{"type": "ANY", "rules": [], "conditions": [condition] * count}]}]


def nested(levels: int) -> list[dict[str, Any]]:
    """Rules with so many levels of rules below the first."""
    rule: dict[str, Any] = {"type": "ALL", "conditions": [], "rules": []}
    for _ in range(levels):
        rule = {"type": "ALL", "conditions": [], "rules": [rule]}
    return [rule]


def test_segment__100_conditions__made(world: World) -> None:
    answer = world.call("POST", world.segments, {"name": "many", "rules": many_conditions(100)})
    assert len(answer["rules"][0]["rules"][0]["conditions"]) == 100


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(many_conditions(101), "exceeds the maximum condition count of 100", id="101 conditions"),
        pytest.param(many_conditions(1_000), "exceeds the maximum condition count of 100", id="1,000 conditions"),
        pytest.param(nested(2), "Rules must not be nested more than 2 levels deep", id="three levels"),
        pytest.param(nested(20), "", id="21 levels"),
        pytest.param(nested(80), "", id="81 levels"),
    ],
)
def test_segment__too_much_of_it__refused(method: str, content: Any, says: str, world: World) -> None:
    path = world.segments if method == "POST" else f"{world.segments}{world.segment['id']}/"
    before = rows()
    body = json.dumps({"name": "much", "rules": content})
    response = world.admin.generic(method, f"/api/v1/{path}", body, content_type="application/json")
    assert complaint(response, (400,)) == ""
    assert says in response.content.decode()
    assert rows() == before


def test_query__more_parameters_than_are_read__refused(world: World) -> None:
    for path in ("audit/", f"{world.features}", f"environments/?project={world.project.pk}"):
        response = world.admin.get(f"/api/v1/{path}{'&' if '?' in path else '?'}{'&'.join(['environments=1'] * 1_001)}")
        assert complaint(response, (400,)) == ""
