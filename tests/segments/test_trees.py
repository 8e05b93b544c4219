"""Validation and storage of rule trees."""

import json
import time
from typing import Any

import pytest
from rest_framework.test import APIClient

from segments.models import Condition, Segment, SegmentRule
from tests.segments.conftest import condition, tree

pytestmark = pytest.mark.django_db

TOO_DEEP = {"segment": ["Rules must not be nested more than 2 levels deep."]}


def nested(levels: int) -> str:
    """The JSON of a segment with this number of nested rules."""
    return '{"name": "s", "rules": ' + '[{"type": "ALL", "rules": ' * levels + "[]" + "}]" * levels + "}"


def test_create__flagsmiths_request__flagsmiths_response(admin: APIClient, path: str, project: Any) -> None:
    answer = admin.post(path, {"name": "s", "project": 99, "rules": tree(condition())}, format="json")
    assert answer.status_code == 201
    body = answer.json()
    rule, nested_rule, stored_condition = (
        model.objects.get(**where)
        for model, where in (
            (SegmentRule, {"rule": None}),
            (SegmentRule, {"segment": None}),
            (Condition, {}),
        )
    )
    assert list(body.items()) == [
        ("id", Segment.objects.get().pk),
        ("uuid", str(Segment.objects.get().uuid)),
        ("created_at", body["created_at"]),
        ("updated_at", body["updated_at"]),
        ("name", "s"),
        ("description", None),
        ("project", project.pk),
        ("feature", None),
        ("version_of", body["id"]),
        ("rules", body["rules"]),
        ("metadata", []),
        ("membership_counts", []),
        ("managed_by", ""),
    ]
    assert json.dumps(body["rules"]) == json.dumps(
        [
            {
                "id": rule.pk,
                "type": "ALL",
                "rules": [
                    {
                        "id": nested_rule.pk,
                        "type": "ANY",
                        "conditions": [
                            {
                                "id": stored_condition.pk,
                                "operator": "EQUAL",
                                "property": "plan",
                                "value": "pro",
                                "description": None,
                            }
                        ],
                    }
                ],
                "conditions": [],
            }
        ]
    )


@pytest.mark.parametrize(
    ("sent", "stored"),
    [(1, "1"), (1.5, "1.5"), (True, "True"), (None, "None"), ("", ""), ([1, "a"], "[1, 'a']"), ({"a": 1}, "{'a': 1}")],
)
def test_value__any_json_type__stored_as_text(admin: APIClient, path: str, sent: Any, stored: str) -> None:
    answer = admin.post(path, {"name": "s", "rules": tree(condition(value=sent))}, format="json")
    assert answer.json()["rules"][0]["rules"][0]["conditions"][0]["value"] == stored
    assert Condition.objects.get().value == stored


def test_value__absent__null(admin: APIClient, path: str) -> None:
    admin.post(path, {"name": "s", "rules": tree({"operator": "IS_SET", "property": "plan"})}, format="json")
    assert Condition.objects.get().value is None


def test_rules__conditions_on_both_levels__stored_in_order(admin: APIClient, path: str) -> None:
    rules = [
        {"type": "NONE", "conditions": [condition(value="1"), condition(value="2")]},
        {"type": "ALL", "rules": [{"type": "ANY", "conditions": [condition(value="4")]}, {"type": "ALL"}],
         "conditions": [condition(value="3")]},
    ]  # fmt: skip
    stored = admin.post(path, {"name": "s", "rules": rules}, format="json").json()["rules"]
    assert [rule["type"] for rule in stored] == ["NONE", "ALL"]
    assert [each["value"] for each in stored[0]["conditions"]] == ["1", "2"]
    assert [each["value"] for each in stored[1]["conditions"]] == ["3"]
    assert [(rule["type"], [each["value"] for each in rule["conditions"]]) for rule in stored[1]["rules"]] == [
        ("ANY", ["4"]),
        ("ALL", []),
    ]
    assert "rules" not in stored[1]["rules"][0]


def test_rules__marked_as_deleted__dropped_with_their_items(admin: APIClient, path: str) -> None:
    rules = [
        {"type": "ALL", "delete": True, "rules": 5},
        {"type": "ALL", "conditions": [condition(value="a"), {"id": 3, "delete": True}], "rules": [
            {"type": "ANY", "conditions": [condition(value="b")], "rules": [{"delete": True}]},
            {"type": "LIKE", "delete": True},
        ]},
    ]  # fmt: skip
    answer = admin.post(path, {"name": "s", "rules": rules}, format="json")
    assert answer.status_code == 201
    assert sorted(Condition.objects.values_list("value", flat=True)) == ["a", "b"]
    assert SegmentRule.objects.count() == 2


def test_rules__all_marked_as_deleted__400(admin: APIClient, path: str) -> None:
    answer = admin.post(path, {"name": "s", "rules": [{"type": "ALL", "delete": True}]}, format="json")
    assert (answer.status_code, answer.json()) == (
        400,
        {"rules": {"non_field_errors": ["This list may not be empty."]}},
    )


@pytest.mark.parametrize("levels", [3, 10, 40])
def test_rules__too_deep__400(admin: APIClient, path: str, levels: int) -> None:
    answer = admin.post(path, nested(levels), content_type="application/json")
    assert (answer.status_code, answer.json()) == (400, TOO_DEEP)


@pytest.mark.parametrize("levels", [200, 300, 400, 450, 480, 500, 1000, 5000])
def test_rules__thousands_of_levels__400(admin: APIClient, path: str, levels: int) -> None:
    assert admin.post(path, nested(levels), content_type="application/json").status_code == 400
    assert not Segment.objects.exists()


@pytest.mark.parametrize("levels", [50, 400, 700, 800, 900, 950, 1000, 5000])
@pytest.mark.parametrize("field", ["value", "operator", "property", "description"])
def test_condition__deeply_nested_field__4xx(admin: APIClient, path: str, field: str, levels: int) -> None:
    body = json.dumps({"name": "s", "rules": tree(condition() | {field: "DEEP"})})
    body = body.replace('"DEEP"', "[" * levels + "]" * levels)
    answer = admin.post(path, body, content_type="application/json")
    assert answer.status_code in (400, 201), answer.json()
    assert answer.status_code == 400 or (field, levels) == ("value", 50)


@pytest.mark.parametrize("field", ["name", "feature", "rules", "description"])
def test_segment__deeply_nested_field__400(admin: APIClient, path: str, field: str) -> None:
    for levels in (400, 700, 800, 900):
        body = json.dumps({"name": "s", "rules": tree()} | {field: "DEEP"}).replace(
            '"DEEP"', "[" * levels + "]" * levels
        )
        assert admin.post(path, body, content_type="application/json").status_code == 400


def test_conditions__101_on_both_levels__400(admin: APIClient, path: str) -> None:
    rules = tree(*[condition()] * 100)
    rules[0]["conditions"] = [condition()]
    answer = admin.post(path, {"name": "s", "rules": rules}, format="json")
    assert (answer.status_code, answer.json()) == (
        400,
        {"segment": ["The segment has 101 conditions, which exceeds the maximum condition count of 100."]},
    )


def test_conditions__100__stored(admin: APIClient, path: str) -> None:
    assert admin.post(path, {"name": "s", "rules": tree(*[condition()] * 100)}, format="json").status_code == 201


def test_conditions__thousands__400_quickly(admin: APIClient, path: str) -> None:
    rules = tree(*[condition("REGEX", value="(a|b)*c")] * 10_000)
    started = time.thread_time()
    answer = admin.post(path, {"name": "s", "rules": rules}, format="json")
    assert answer.status_code == 400
    assert "10000 conditions" in answer.json()["segment"][0]
    assert time.thread_time() - started < 5


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"operator": "LIKE"}, {"operator": ['"LIKE" is not a valid choice.']}),
        ({"operator": None}, {"operator": ["This field may not be null."]}),
        ({"value": "x" * 1001}, {"value": ["Ensure this field has no more than 1000 characters."]}),
        ({"property": "x" * 1001}, {"property": ["Ensure this field has no more than 1000 characters."]}),
        ({"property": ""}, {"property": ["This field may not be blank."]}),
        ({"value": "a\0b"}, {"value": ["Null characters are not allowed."]}),
    ],
)
def test_condition__invalid_field__400_at_its_position(admin: APIClient, path: str, fields: Any, error: Any) -> None:
    answer = admin.post(path, {"name": "s", "rules": tree(condition() | fields)}, format="json")
    assert (answer.status_code, answer.json()) == (400, {"rules": [{"rules": [{"conditions": [error]}]}]})
    assert not SegmentRule.objects.exists()


@pytest.mark.parametrize(
    "rules",
    [None, 5, "text", {}, [], [5], [None], ["text"], [[]], [{}], [{"type": "SOME"}], [{"type": "ALL", "rules": 5}],
     [{"type": "ALL", "rules": [5]}], [{"type": "ALL", "rules": None}], [{"type": "ALL", "conditions": 5}],
     [{"type": "ALL", "conditions": [5]}], [{"type": "ALL", "conditions": {"a": 1}}], [{"type": []}],
     [{"type": "ALL", "conditions": [{}]}], [{"type": "ALL", "rules": {"type": "ALL"}}], 1e400],
)  # fmt: skip
@pytest.mark.parametrize("method", ["post", "put", "patch"])
def test_rules__wrong_type__400(admin: APIClient, path: str, segment: Segment, rules: Any, method: str) -> None:
    target = path if method == "post" else f"{path}{segment.pk}/"
    answer = admin.generic(
        method.upper(), target, json.dumps({"name": "s", "rules": rules}), content_type="application/json"
    )
    assert answer.status_code == 400
    assert Condition.objects.count() == 1


@pytest.mark.parametrize("body", ["[]", "5", "null", '"text"', "[[]]", "", "{"])
def test_body__not_an_object__400(admin: APIClient, path: str, body: str) -> None:
    assert admin.post(path, body, content_type="application/json").status_code == 400
