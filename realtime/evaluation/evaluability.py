"""Checks that the flag engine can evaluate a condition, before the condition is stored.

The engine parses a condition when an SDK requests flags. An invalid one (a pattern that does not compile, a division by
zero, a path with an unknown function) would fail these requests for every identity, so each condition is evaluated once
with traits of all types.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from realtime.compat.flag_engine import context_matches_condition

# One trait value of each type, and None for a missing trait. Numbers also test MODULO.
TRAITS = ("text", "1.2.3", 7, 7.5, True, None)

# Conditions that need nearly the whole call stack are rejected, since the stack of an SDK request may be deeper.
RESERVED_FRAMES = 300


def condition_errors(operator: str, prop: str, value: str) -> dict[str, list[str]]:
    """Errors of a condition by field name; empty if all evaluations succeed.

    ``prop`` and ``value`` are empty if missing, as in the engine.
    """
    for field, condition in (
        ("property", {"operator": "IS_SET", "property": prop, "value": ""}),
        ("value", {"operator": operator, "property": prop, "value": value}),
    ):
        try:
            _call_with_frames(RESERVED_FRAMES, partial(_evaluate, condition))
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


def _call_with_frames(frames: int, call: Callable[[], None]) -> None:
    """Call with this number of additional frames on the stack."""
    if frames == 0:
        call()
    else:
        _call_with_frames(frames - 1, call)
