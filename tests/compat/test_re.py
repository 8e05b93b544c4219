"""Contracts of the parts of Python's ``re`` that ``realtime/compat/re.py`` uses."""

from re import _constants, _parser  # type: ignore[attr-defined]

import pytest

from realtime.compat.re import expanded_length


@pytest.mark.parametrize(
    "pattern, operator",
    [("a{2,3}", "MAX_REPEAT"), ("a{2,3}?", "MIN_REPEAT"), ("a{2,3}+", "POSSESSIVE_REPEAT")],
)
def test_parser__repetition__is_a_tuple_of_operator_and_bounds(pattern: str, operator: str) -> None:
    parsed = _parser.parse(pattern)
    assert isinstance(parsed, _parser.SubPattern)
    [(found, (minimum, maximum, repeated))] = parsed
    assert found is getattr(_constants, operator)
    assert (minimum, maximum) == (2, 3)
    assert isinstance(repeated, _parser.SubPattern)


@pytest.mark.parametrize("pattern", ["a{1000}", "(a{10}){100}", "(?:a{10}|b){100}?", "(?=a{1000}+)"])
def test_expanded_length__fixed_repetitions__are_multiplied(pattern: str) -> None:
    assert expanded_length(pattern) >= 1_000


def test_expanded_length__no_fixed_repetition__is_short() -> None:
    assert expanded_length("(a+)+b*[c-z]{0,1000}$") < 50
