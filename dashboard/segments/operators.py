"""A condition's operators, in words, with what their values look like."""

from typing import NamedTuple

from segments.models import Condition


class Operator(NamedTuple):
    value: str
    label: str
    hint: str
    """What belongs into the value's field."""

    example: str = ""
    takes_value: bool = True
    obvious: bool = False
    """Whether nobody needs the hint beside each value."""


ANYTHING = "Text, a number, true or false; 2.1.0:semver for a version"
NUMBER = "A number, or a version: 2.1.0:semver"

OPERATORS = (
    Operator(Condition.Operator.EQUAL, "is", ANYTHING, "pro", obvious=True),
    Operator(Condition.Operator.NOT_EQUAL, "is not", ANYTHING, "pro", obvious=True),
    Operator(Condition.Operator.IN, "is one of", "Values with commas in between, or a list in JSON", "free,pro"),
    Operator(Condition.Operator.CONTAINS, "contains", "Part of the text", "@example.com", obvious=True),
    Operator(Condition.Operator.NOT_CONTAINS, "does not contain", "Part of the text", "@example.com", obvious=True),
    Operator(Condition.Operator.REGEX, "matches", "A regular expression; it has to match from the beginning", "^eu-.+"),
    Operator(Condition.Operator.GREATER_THAN, ">", NUMBER, "18"),
    Operator(Condition.Operator.GREATER_THAN_INCLUSIVE, "≥", NUMBER, "18"),
    Operator(Condition.Operator.LESS_THAN, "<", NUMBER, "18"),
    Operator(Condition.Operator.LESS_THAN_INCLUSIVE, "≤", NUMBER, "18"),
    Operator(
        Condition.Operator.PERCENTAGE_SPLIT,
        "% split",
        "0 to 100: so many percent of identities. Without a property they are split by their identifier",
        "25",
    ),
    Operator(Condition.Operator.MODULO, "modulo", "Divisor and remainder: 2|0 for even numbers", "2|0"),
    Operator(Condition.Operator.IS_SET, "is set", "No value", takes_value=False),
    Operator(Condition.Operator.IS_NOT_SET, "is not set", "No value", takes_value=False),
)

BY_VALUE = {operator.value: operator for operator in OPERATORS}


def said(operator: str, prop: str | None, value: str | None) -> str:
    """A condition in a line: ``plan is pro``."""
    known = BY_VALUE.get(operator)
    subject = prop or ("identity" if operator == Condition.Operator.PERCENTAGE_SPLIT else "?")
    if known is None:
        return f"{subject} {operator} {value}"
    return f"{subject} {known.label} {value or ''}".rstrip() if known.takes_value else f"{subject} {known.label}"
