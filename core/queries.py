"""Validation of query parameters."""

from typing import Any, ClassVar

from django.http import QueryDict
from rest_framework import serializers


class QuerySerializer(serializers.Serializer[Any]):
    """The query parameters of a list. An empty one is ignored, unless its name is in ``allow_empty``."""

    allow_empty: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def read(cls, query: QueryDict) -> dict[str, Any]:
        """The given parameters as Python values. Raises ValidationError with the names of invalid ones."""
        many = [name for name, field in cls().fields.items() if isinstance(field, serializers.ListField)]
        given: dict[str, Any] = {}
        for name, texts in query.lists():
            used = [text for text in texts if text or name in cls.allow_empty]
            if name in many and used:
                given[name] = used
            elif used and used[-1] == texts[-1]:
                given[name] = used[-1]
        serializer = cls(data=given)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)
