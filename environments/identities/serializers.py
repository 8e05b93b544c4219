"""Identities as the Admin API speaks of them."""

from typing import Any

from django.db import IntegrityError, transaction
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from environments.identities.models import Identity

# PostgreSQL keeps identifiers in an index whose entries hold 2,704 bytes.
MAX_IDENTIFIER_BYTES = 2600


def validate_identifier(identifier: str) -> None:
    """Raise ValidationError for an identifier that no index can hold, short as its characters are few."""
    if len(identifier.encode()) > MAX_IDENTIFIER_BYTES:
        raise ValidationError(f"Ensure this field has no more than {MAX_IDENTIFIER_BYTES} bytes in UTF-8.")


class IdentitySerializer(serializers.ModelSerializer[Identity]):
    class Meta:
        model = Identity
        fields = ["id", "identifier", "environment"]
        read_only_fields = ["environment"]
        extra_kwargs = {"identifier": {"validators": [validate_identifier]}}
        # The constraint itself finds another identity of the name: an SDK may be making one at this moment.
        validators: list[Any] = []

    def save(self, **kwargs: Any) -> Identity:
        try:
            with transaction.atomic():
                return super().save(**kwargs)
        except IntegrityError as error:
            taken = f"Identity with identifier '{self.validated_data['identifier']}' already exists in this environment"
            raise ValidationError({"identifier": taken}) from error


class IdentityFilterSerializer(serializers.Serializer[Any]):
    """The query of a list of identities."""

    q = serializers.CharField(
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        help_text='Part of the identifier, in any case; in double quotes, the whole of it: "u1".',
    )
