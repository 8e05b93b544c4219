"""Turns unique-constraint violations of concurrent requests into validation errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import IntegrityError, transaction
from rest_framework.exceptions import ValidationError


@contextmanager
def as_validation_error(message: str, field: str = "non_field_errors") -> Iterator[None]:
    """Turn an IntegrityError into the ValidationError (400) that the serializer's own uniqueness check raises.

    That check precedes the write and cannot see what another transaction is about to commit.
    """
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        raise ValidationError({field: [message]}) from error
