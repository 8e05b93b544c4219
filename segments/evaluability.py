"""Whether a condition can be evaluated at all.

A flag engine reads a condition's text when an SDK asks for flags. One that it cannot read (a pattern that does not
compile, a division by zero, a path with an unknown function) would fail each of those requests, for every identity. So
it is tried here, on the engine itself, before it is stored.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from flag_engine.segments.evaluator import context_matches_condition

# A trait of each type that an identity can have, and none. A number is also the remainder's dividend.
TRAITS = ("text", "1.2.3", 7, 7.5, True, None)

# An SDK's request may come with a deeper call stack than the one that stores the condition. What nests so deep that
# it needs nearly the whole stack is refused, so that it cannot overflow there.
STACK_IN_RESERVE = 300


def refusal(operator: str, prop: str, value: str) -> dict[str, list[str]]:
    """What is wrong with the condition, by the name of its field; empty if every evaluation of it ends well.

    A missing property or value is "" to the engine.
    """
    for field, condition in (
        ("property", {"operator": "IS_SET", "property": prop, "value": ""}),
        ("value", {"operator": operator, "property": prop, "value": value}),
    ):
        try:
            _below(STACK_IN_RESERVE, partial(_evaluate, condition))
        except Exception as error:
            return {field: [f"This cannot be evaluated: {error}."]}
    return {}


def _evaluate(condition: Any) -> None:
    for trait in TRAITS:
        context: Any = {
            "environment": {"key": "key", "name": "name"},
            "identity": {
                "identifier": "identifier",
                "key": "key_identifier",
                "traits": {} if trait is None else {condition["property"]: trait},
            },
            "features": {"name": {"key": "1", "name": "name", "enabled": True, "value": "value"}},
            "segments": {},
            "flags": {},
        }
        context_matches_condition(context, condition, segment_key="1")


def _below(frames: int, call: Callable[[], None]) -> None:
    if frames == 0:
        call()
    else:
        _below(frames - 1, call)
