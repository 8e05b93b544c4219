"""Serializers of identities for the Admin API."""

from typing import Any

from django.db import IntegrityError, transaction
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from environments.identities.models import Identity

# An entry of PostgreSQL's index of identifiers has at most 2,704 bytes.
MAX_IDENTIFIER_BYTES = 2600


def validate_identifier(identifier: str) -> None:
    """Raise ValidationError if the identifier is too long in bytes for the index."""
    if len(identifier.encode()) > MAX_IDENTIFIER_BYTES:
        raise ValidationError(f"Ensure this field has no more than {MAX_IDENTIFIER_BYTES} bytes in UTF-8.")


class IdentitySerializer(serializers.ModelSerializer[Identity]):
    class Meta:
        model = Identity
        fields = ["id", "identifier", "environment"]
        read_only_fields = ["environment"]
        extra_kwargs = {"identifier": {"validators": [validate_identifier]}}
        # Not the serializer's check but the constraint finds a duplicate: an SDK may create one concurrently.
        validators: list[Any] = []

    def save(self, **kwargs: Any) -> Identity:
        try:
            with transaction.atomic():
                return super().save(**kwargs)
        except IntegrityError as error:
            taken = f"Identity with identifier '{self.validated_data['identifier']}' already exists in this environment"
            raise ValidationError({"identifier": taken}) from error


class IdentityFilterSerializer(serializers.Serializer[Any]):
    """The query parameters of a list of identities."""

    q = serializers.CharField(
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        help_text='A part of the identifier, case-insensitive; or the whole identifier in double quotes: "u1".',
    )
