"""The product's limits of texts that are stored: an upstream would reject the whole request that has a longer one."""

from typing import Any

from realtime.ofrep.requests import MAX_IDENTIFIER_LENGTH

# In UTF-8.
MAX_IDENTIFIER_BYTES = 2_600


def identifier_errors(value: Any) -> list[str]:
    """The errors of an identity's identifier in the format of Django REST framework; empty if it is valid."""
    if found := text_errors(value, MAX_IDENTIFIER_LENGTH):
        return found
    is_long = len(str(value).encode()) > MAX_IDENTIFIER_BYTES
    return [f"Ensure this field has no more than {MAX_IDENTIFIER_BYTES} bytes."] if is_long else []


def text_errors(value: Any, max_length: int) -> list[str]:
    """The errors of a text or number. As in Django REST framework, a number is taken for a text."""
    if not isinstance(value, str) and (not isinstance(value, int | float) or isinstance(value, bool)):
        return ["Not a valid string."]
    text = str(value)
    if not text:
        return ["This field may not be blank."]
    if "\0" in text:
        return ["Null characters are not allowed."]
    return [f"Ensure this field has no more than {max_length} characters."] if len(text) > max_length else []
