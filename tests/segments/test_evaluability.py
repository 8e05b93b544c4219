"""Conditions that cannot be evaluated are rejected."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from segments.models import Condition
from tests.segments.conftest import condition, tree

pytestmark = pytest.mark.django_db


def create_segment(admin: APIClient, path: str, *conditions: dict[str, Any]) -> Any:
    return admin.post(path, {"name": "s", "rules": tree(*conditions)}, format="json")


@pytest.mark.parametrize(
    ("operator", "value"),
    [
        ("REGEX", "["),
        ("REGEX", "(?P<a>x)(?P<a>y)"),
        ("REGEX", "*"),
        ("REGEX", "a{99999999999}"),
        ("REGEX", "(?<=a+)b"),
        ("REGEX", "(" * 450 + ")" * 450),
        ("REGEX", "(a?|1?|t?|e?|x?|.?){60}[yz]"),
        ("MODULO", "0|0"),
        ("MODULO", "-0.0|1"),
        ("MODULO", "1e-999|1"),
        ("IN", "[" * 1000),
    ],
)
def test_value__evaluation_fails__400(admin: APIClient, path: str, operator: str, value: str) -> None:
    answer = create_segment(admin, path, condition(), condition(operator, "plan", value))
    assert answer.status_code == 400
    conditions = answer.json()["rules"][0]["rules"][0]["conditions"]
    assert conditions[0] == {}
    assert list(conditions[1]) == ["value"]
    assert conditions[1]["value"][0].startswith("This cannot be evaluated: ")
    assert not Condition.objects.exists()


@pytest.mark.parametrize("prop", ["$.a[99999999999999999999]", "$.a[?nothing(@.b)]", "$.a[?count(1)]"])
def test_property__evaluation_of_the_path_fails__400(admin: APIClient, path: str, prop: str) -> None:
    answer = create_segment(admin, path, condition("EQUAL", prop, "x"))
    assert answer.status_code == 400
    assert list(answer.json()["rules"][0]["rules"][0]["conditions"][0]) == ["property"]


@pytest.mark.parametrize(
    ("operator", "prop", "value"),
    [
        ("REGEX", "plan", r"^v\d+(\.\d+)*$"),
        ("REGEX", "plan", "(" * 20 + "a" + ")" * 20),
        ("MODULO", "n", "2|0"),
        ("MODULO", "n", "two"),
        ("MODULO", "n", ""),
        ("IN", "plan", "a,b,c"),
        ("IN", "plan", '["a", "b"]'),
        ("IN", "plan", "[a"),
        ("PERCENTAGE_SPLIT", None, "30"),
        ("PERCENTAGE_SPLIT", "$.identity.key", "30.5"),
        ("PERCENTAGE_SPLIT", None, "many"),
        ("EQUAL", "$.environment.name", "Production"),
        ("EQUAL", "$. is no path", "x"),
        ("GREATER_THAN", "version", "1.2.3:semver"),
        ("GREATER_THAN", "version", "x:semver"),
        ("LESS_THAN", "n", "not a number"),
        ("IS_SET", "n", ""),
    ],
)
def test_condition__evaluation_succeeds__201(
    admin: APIClient, path: str, operator: str, prop: str | None, value: str
) -> None:
    assert create_segment(admin, path, condition(operator, prop, value)).status_code == 201


@pytest.mark.parametrize("operator", Condition.Operator.values)
@pytest.mark.parametrize("prop", ["plan", None])
def test_condition__without_a_value__201(admin: APIClient, path: str, operator: str, prop: str | None) -> None:
    assert create_segment(admin, path, {"operator": operator, "property": prop}).status_code == 201
