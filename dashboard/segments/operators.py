"""Labels, hints and examples of the condition operators."""

from typing import NamedTuple

from segments.models import Condition


class Operator(NamedTuple):
    value: str
    label: str
    hint: str
    """The expected format of the value."""

    example: str = ""
    takes_value: bool = True
    self_explanatory: bool = False
    """Whether the hint is omitted next to the value's input."""


ANYTHING = "Text, a number, true or false; 2.1.0:semver for a version"
NUMBER = "A number, or a version: 2.1.0:semver"

OPERATORS = (
    Operator(Condition.Operator.EQUAL, "is", ANYTHING, "pro", self_explanatory=True),
    Operator(Condition.Operator.NOT_EQUAL, "is not", ANYTHING, "pro", self_explanatory=True),
    Operator(Condition.Operator.IN, "is one of", "Values with commas in between, or a list in JSON", "free,pro"),
    Operator(Condition.Operator.CONTAINS, "contains", "Part of the text", "@example.com", self_explanatory=True),
    Operator(
        Condition.Operator.NOT_CONTAINS, "does not contain", "Part of the text", "@example.com", self_explanatory=True
    ),
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


def describe_condition(operator: str, prop: str | None, value: str | None) -> str:
    """A condition as text: ``plan is pro``."""
    info = BY_VALUE.get(operator)
    subject = prop or ("identity" if operator == Condition.Operator.PERCENTAGE_SPLIT else "?")
    if info is None:
        return f"{subject} {operator} {value}"
    return f"{subject} {info.label} {value or ''}".rstrip() if info.takes_value else f"{subject} {info.label}"
