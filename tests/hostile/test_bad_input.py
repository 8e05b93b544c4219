"""Invalid bodies: each is refused by a message that names the field, and changes no row."""

import json
from copy import deepcopy
from typing import Any

import pytest
from django.conf import settings

from tests.hostile import values
from tests.hostile.endpoints import END_POINTS, EndPoint
from tests.hostile.refusals import client_of, complaint, roll_back, roll_back_if_accepted, rows
from tests.operations.world import WorldInProcess as World

pytestmark = pytest.mark.django_db

every_end_point = pytest.mark.parametrize("end_point", END_POINTS, ids=str)

MISSING = object()

NO_JSON = {
    "cut off": b'{"name": "x"',
    "a comma too many": b'{"name": "x",}',
    "single quotes": b"{'name': 'x'}",
    "NaN": b'{"name": NaN}',
    "the same name twice": b'{"name": "x", "nested": {"a": 1, "a": 1}}',
    "an infinity": b'{"name": -Infinity}',
    "half of a surrogate pair": b'{"name": "\\ud800"}',
    "half of a surrogate pair as a key": b'{"\\udfff": "x"}',
    "no UTF-8": b'{"name": "\xff"}',
    "2,000 lists deep": b"[" * 2_000 + b"]" * 2_000,
    "2,000 objects deep": b'{"name": ' * 2_000 + b"1" + b"}" * 2_000,
    "100,000 lists deep": b"[" * 100_000,
    "a number of 5,000 digits": b'{"name": ' + b"9" * 5_000 + b"}",
}

OTHER_TYPES = ("text/plain", "multipart/form-data; boundary=x", "x")


@every_end_point
def test_field__bad_value__refused_by_name_and_nothing_stored(end_point: EndPoint, world: World) -> None:
    path, body = end_point.url(world), end_point.body(world)
    client = client_of(world, end_point.key)
    accepted = roll_back(client, end_point.method, path, values.encode(body))
    assert accepted.status_code < 300, f"the valid body: {accepted.status_code} {accepted.content!r}"

    bad = [(name, value) for name, refused in end_point.fields.items() for value in refused]
    bad += [(name, value) for name in end_point.required for value in (None, MISSING)]
    if any(other.method == "PUT" and other.pattern == end_point.pattern for other in END_POINTS if other != end_point):
        # PUT and PATCH share a serializer.
        bad = values.in_turn(bad, END_POINTS.index(end_point), 3)
    before = rows()
    wrong = []
    for name, value in bad:
        response = roll_back_if_accepted(client, end_point.method, path, values.encode(changed(body, name, value)))
        if problem := complaint(response, name=named(name)):
            wrong.append(f"{name} {'missing' if value is MISSING else values.shown(value)}: {problem}")
    assert rows() == before
    assert not wrong, "\n" + "\n".join(wrong)


@every_end_point
def test_body__not_a_json_object_of_a_valid_size__refused_and_nothing_stored(end_point: EndPoint, world: World) -> None:
    """No JSON, JSON of another type, another content type, and a body that is too large.

    One parser reads all bodies: the first endpoint of each key tries all values, the others a part of them.
    """
    number = END_POINTS.index(end_point)
    first = end_point.key not in {other.key for other in END_POINTS[:number]}
    path, body = end_point.url(world), end_point.body(world)
    client = client_of(world, end_point.key)
    wrong = {}

    def assert_refused(
        name: str, content: bytes, statuses: tuple[int, ...], content_type: str = "application/json"
    ) -> None:
        response = client.generic(end_point.method, path, content, content_type=content_type)
        if problem := complaint(response, statuses):
            wrong[name] = problem

    before = rows()
    for name, content in values.in_turn(NO_JSON.items(), number, 1 if first else 4):
        assert_refused(name, content, (400,))
    for other in (5, "x", None, True, 1.5, [[]], [5], {} if isinstance(body, list) else []):
        # The body has to name the environment, otherwise the caller's permission is unknown: 403.
        assert_refused(json.dumps(other), json.dumps(other).encode(), (400, 403))
    right = values.encode(body).encode()
    for content_type in values.in_turn(OTHER_TYPES, number, 1 if first else 4):
        # One endpoint accepts uploads: for it this is a malformed one.
        assert_refused(content_type, right, (400, 415), content_type)
    assert_refused("above the limit", right.ljust(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1), (413,))
    assert rows() == before
    assert wrong == {}


def changed(body: Any, name: str, value: Any) -> Any:
    """A copy of the body, with the field of this name, such as "rules.0.type", set to the value or removed."""
    copy = deepcopy(body)
    *parents, last = [int(step) if step.isdigit() else step for step in name.split(".")]
    part = copy
    for step in parents:
        part = part.setdefault(step, {}) if isinstance(part, dict) else part[step]
    if value is MISSING:
        part.pop(last, None)
    else:
        part[last] = value
    return copy


def named(name: str) -> str:
    """The name that the refusal of a field has to have: the last part that is no index."""
    return next((step for step in reversed(name.split(".")) if not step.isdigit()), "")
