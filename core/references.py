"""Objects that a request names in its body instead of its path."""

from rest_framework.exceptions import ValidationError
from rest_framework.fields import IntegerField, empty
from rest_framework.request import Request


def body_id(request: Request, field: str) -> int:
    """The primary key that the body has in this field. Raises ValidationError (400) naming it."""
    body = request.data
    try:
        number: int = IntegerField().run_validation(body.get(field, empty) if isinstance(body, dict) else empty)
    except ValidationError as error:
        raise ValidationError({field: error.detail}) from error
    return number
