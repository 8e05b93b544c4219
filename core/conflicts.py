"""Two requests that take the same name at the same moment: the database's constraint refuses the second."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import IntegrityError, transaction
from rest_framework.exceptions import ValidationError


@contextmanager
def refused(message: str, field: str = "non_field_errors") -> Iterator[None]:
    """Answer a broken constraint as the serializer's own check would have: 400 with this message.

    The check looks before the write and cannot see what another transaction is about to commit.
    """
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        raise ValidationError({field: [message]}) from error
