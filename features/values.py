"""Typed values of flags: text, a 32-bit integer or a boolean, each in a column of its own.

A change of the type keeps the other columns, as in Flagsmith: after the values "abc", 13 and true the columns are
``{"type": "bool", "string_value": "abc", "integer_value": 13, "boolean_value": true}``.
"""

from django.conf import settings
from django.db import models

Value = str | int | bool | None

MAX_32_BIT_INTEGER = 2_147_483_647


VALUE_COLUMNS = ("type", "string_value", "integer_value", "boolean_value")


class ValueType(models.TextChoices):
    INTEGER = "int"
    STRING = "unicode"
    BOOLEAN = "bool"


def value_from_columns(
    kind: str | None, boolean_value: bool | None, integer_value: int | None, string_value: str | None
) -> Value:
    """The value that SDKs receive for these columns."""
    match kind:
        case ValueType.INTEGER:
            return integer_value
        case ValueType.BOOLEAN:
            return boolean_value
    return string_value


class TypedValue(models.Model):
    """Abstract model with the columns of a value."""

    type = models.CharField(max_length=10, choices=ValueType.choices, default=ValueType.STRING, null=True, blank=True)
    boolean_value = models.BooleanField(null=True, blank=True)
    integer_value = models.IntegerField(null=True, blank=True)
    string_value = models.CharField(max_length=settings.FEATURE_VALUE_LIMIT, null=True, blank=True)

    class Meta:
        abstract = True

    @property
    def value(self) -> Value:
        """The value that SDKs receive."""
        return value_from_columns(self.type, self.boolean_value, self.integer_value, self.string_value)

    @value.setter
    def value(self, value: Value) -> None:
        match value:
            case bool():
                self.type, self.boolean_value = ValueType.BOOLEAN, value
            case int():
                self.type, self.integer_value = ValueType.INTEGER, value
            case _:
                self.type, self.string_value = ValueType.STRING, value


def parse_initial_value(text: str | None) -> Value:
    """The typed value of a feature's ``initial_value``: "12" is an integer, "true" a boolean, anything else text."""
    if text in ("true", "True"):
        return True
    if text in ("false", "False"):
        return False
    try:
        number = int(text or "")
    except ValueError:
        return text
    return number if abs(number) < MAX_32_BIT_INTEGER else text
