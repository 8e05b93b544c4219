"""Primary keys in request bodies, for endpoints whose path does not name the object."""

from rest_framework.exceptions import ValidationError
from rest_framework.fields import IntegerField, empty
from rest_framework.request import Request


def body_id(request: Request, field: str) -> int:
    """The primary key in this field of the body. Raises ValidationError (400) that names the field."""
    body = request.data
    try:
        number: int = IntegerField().run_validation(body.get(field, empty) if isinstance(body, dict) else empty)
    except ValidationError as error:
        raise ValidationError({field: error.detail}) from error
    return number
