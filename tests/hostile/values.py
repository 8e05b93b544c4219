"""Values that a field of each type must refuse."""

import json
from collections.abc import Iterable
from typing import Any

from tests.support.samples import ALL_CASES

RAW = "raw number "

# A number that Python's json module does not write in this form.
INFINITE = f"{RAW}1e400"

NULL_BYTE = "a\x00b"
MANY_DIGITS = "9" * 5_000
BEYOND_64_BITS = (2**63, -(2**63) - 1, 2**70)
WRONG_TYPE_OF_TEXT: tuple[Any, ...] = ([], {}, True)


def text(limit: int) -> tuple[Any, ...]:
    return (*WRONG_TYPE_OF_TEXT, "x" * (limit + 1), NULL_BYTE)


BOOLEAN = ("maybe", 7, [], {}, NULL_BYTE)
INTEGER = ("x", [], {}, True, 1.5, *BEYOND_64_BITS, MANY_DIGITS, INFINITE)
REFERENCE = ("x", [], {}, True, 0, -1, *BEYOND_64_BITS, MANY_DIGITS, NULL_BYTE, INFINITE)
PERCENTAGE = ("x", [], {}, -0.1, 100.1, "NaN", "Infinity", "-Infinity", 10**400, INFINITE)
TIME = ("x", 5, [], {}, "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")
CHOICE = ("x", 5, [], {}, True, NULL_BYTE)
LIST = (5, "x", {}, True)
OBJECT = (5, "x", [], True)
EMAIL = ("x", "@", [], {}, True, "x" * 300 + "@example.com", "a\x00@example.com")
REFERENCES = (*LIST, ["x"], [0], [2**70], [[]], [{}], [True], [None])
VALUE = ([], {}, "x" * 20_001, NULL_BYTE)
# Lists and objects become text, as in Flagsmith.
TRAIT_VALUE = ("x" * 2_001, NULL_BYTE, 2**63, -(2**63) - 1, 10**400, INFINITE)


def in_turn(items: Iterable[Any], number: int, out_of: int) -> list[Any]:
    """Every ``out_of``-th item, beginning at an offset of ``number``; all items in ``scripts/test --all``."""
    return [item for index, item in enumerate(items) if ALL_CASES or (index - number) % out_of == 0]


def encode(body: Any) -> str:
    """The body as JSON, with raw numbers without quotes."""
    encoded = json.dumps(body)
    return encoded.replace(f'"{INFINITE}"', INFINITE.removeprefix(RAW))


def shown(value: Any) -> str:
    """The value for a message, truncated."""
    text = repr(value)
    return text if len(text) < 50 else f"{text[:40]}… ({len(text)} characters)"
